# The unit of systemd's, as an administrator uses it: a task runs on over a restart, a crash and an upgrade of the service,
# and its end is recorded although no server saw it.
set -eu

dir=$(mktemp -d)
cd "$dir"
trap 'code=$?; [ $code = 0 ] || journalctl --no-pager --lines=200 --unit=groundrun; end; exit $code' EXIT
end() {
    systemctl stop groundrun || true
    rm -rf "$dir" /var/lib/groundrun /etc/groundrun.toml /etc/systemd/system/groundrun.service
    ln -sf /in/bin/groundrun /usr/local/bin/groundrun
    systemctl daemon-reload
}

fail() { echo "service: $*"; exit 1; }
# Within a minute.
until_true() {
    tries=600
    until eval "$1"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || fail "never: $1"
        sleep 0.1
    done
}
main_pid() { systemctl show --property=MainPID --value groundrun; }
task() { pgrep --full --oldest '/job wait-term' || true; }
same_task() { [ "$(task)" = "$pid" ] || fail "the task of process $pid does not run on after $1"; }
counted() { groundrun executions describe "$execution" --json | grep -q "\"$1\": 1"; }

install_build() {
    cp /in/bin/groundrun new
    printf '%s' "$1" >>new
    chmod 755 new
    mv new /usr/local/bin/groundrun
}

install_build 'an older build'
cp /in/contrib/systemd/groundrun.service /etc/systemd/system/groundrun.service
printf 'listen = "127.0.0.1:8080"\n' >/etc/groundrun.toml
systemctl daemon-reload
systemctl start groundrun
cat >job.yaml <<'JOB'
apiVersion: run.googleapis.com/v1
kind: Job
metadata:
  name: waiter
spec:
  template:
    spec:
      template:
        spec:
          maxRetries: 0
          containers:
          - image: builtin.groundrun/job
            args: [wait-term, "0"]
JOB
groundrun jobs apply job.yaml
groundrun jobs execute waiter
execution=$(groundrun executions list --json | sed -n 's/.*"name": "\(waiter-[^"]*\)".*/\1/p' | head -1)
until_true '[ -n "$(task)" ] && counted runningCount'
pid=$(task)
grep -q '^0::/groundrun-' "/proc/$pid/cgroup" || fail 'the task is not in a group at the top'
[ ! -s /sys/fs/cgroup/system.slice/groundrun.service/cgroup.subtree_control ] || fail 'the service has groups of its own'

systemctl restart groundrun
same_task 'a restart'
until_true 'counted runningCount'
echo 'a restart leaves tasks running'

install_build 'a newer build'
systemctl restart groundrun
cmp -s "/proc/$(main_pid)/exe" /usr/local/bin/groundrun || fail 'the newer build does not serve'
same_task 'an upgrade'
until_true 'counted runningCount'
echo 'an upgrade leaves tasks running'

server=$(main_pid)
kill -KILL "$server"
until_true '[ "$(main_pid)" != 0 ] && [ "$(main_pid)" != "$server" ] && systemctl is-active --quiet groundrun'
same_task 'a crash'
until_true 'counted runningCount'
echo 'kill -9 of the server leaves tasks running'

systemctl stop groundrun
same_task 'a stop'
kill -TERM "$pid"
until_true '[ -z "$(task)" ]'
systemctl start groundrun
until_true 'counted succeededCount'
[ "$(groundrun logs "$execution" | grep -c waiting)" = 1 ] || fail 'its line is not in the log once'
echo 'the next server tells how they ended'
systemctl stop groundrun
[ -z "$(ls -d /sys/fs/cgroup/groundrun* 2>/dev/null)" ] || fail 'a group is left'
[ -z "$(pgrep -x 'groundrun.*')" ] || fail 'a process is left'
echo 'nothing of the service is left'
