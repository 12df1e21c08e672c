# As root: tasks of the systemd service run on over a restart, an upgrade and a kill -9 of the server, and the next server
# tells how they ended. Run in the guest by scenarios.rs; /in/contrib has the unit, whose program is
# where the guest has it.
set -eu
unit=/etc/systemd/system/groundrun.service
trap 'systemctl stop groundrun; rm -rf $unit /etc/groundrun.toml /var/lib/groundrun /tmp/service
      systemctl daemon-reload' EXIT

# eventually COMMAND…: until it holds, for a minute at most.
eventually() {
    for _ in $(seq 600); do
        if "$@"; then return 0; fi
        sleep 0.1
    done
    echo "never held: $*"
    systemctl status groundrun
    exit 1
}
two_run() { pgrep -x job >"$1" && [ "$(wc -l <"$1")" = 2 ]; }
same_run() { two_run /tmp/service/now && cmp /tmp/service/now /tmp/service/begun; }
active() { systemctl --quiet is-active groundrun; }
succeeded() { groundrun executions list | grep -q '^ *sleeper-.* succeeded  *2  *0  *2 '; }

mkdir -p /tmp/service
cp /in/contrib/systemd/groundrun.service $unit
echo 'network = "none"' >/etc/groundrun.toml
systemctl daemon-reload
systemctl start groundrun
cat >/tmp/service/job.yaml <<'J'
apiVersion: run.googleapis.com/v1
kind: Job
metadata: {name: sleeper}
spec:
  template:
    spec:
      taskCount: 2
      template:
        spec:
          maxRetries: 0
          containers:
          - {image: builtin.groundrun/job, args: [sleep, "15"]}
J
groundrun jobs apply /tmp/service/job.yaml
groundrun jobs execute sleeper
eventually two_run /tmp/service/begun
grep -q '^0::/groundrun-' "/proc/$(head -n 1 /tmp/service/begun)/cgroup"
[ ! -s /sys/fs/cgroup/system.slice/groundrun.service/cgroup.subtree_control ]

systemctl restart groundrun
active && same_run && echo "a restart leaves tasks running"

cp /usr/local/bin/groundrun /usr/local/bin/groundrun.new
mv /usr/local/bin/groundrun.new /usr/local/bin/groundrun
systemctl restart groundrun
active && same_run && echo "an upgrade leaves tasks running"

server=$(systemctl show --value --property=MainPID groundrun)
kill -9 "$server"
restarted() { active && [ "$(systemctl show --value --property=MainPID groundrun)" != "$server" ]; }
eventually restarted
same_run && echo "kill -9 of the server leaves tasks running"

eventually succeeded
echo "the next server tells how they ended"
systemctl stop groundrun
! ls /sys/fs/cgroup | grep groundrun
! pgrep -x 'groundrun.*'
echo "nothing of the service is left"
