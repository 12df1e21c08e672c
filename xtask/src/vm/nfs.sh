# An NFS server in the guest, and jobs whose tasks write to and read from what it exports: mounted by the kernel, by version
# 4.2 and by version 3; nothing of it stays mounted.
set -eu
server=

dir=$(mktemp -d)
cd "$dir"
trap 'code=$?; end; exit $code' EXIT
end() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rpc.nfsd 0 || true
    exportfs -ua || true
    pkill -x rpc.mountd || true
    pkill -x rpcbind || true
    umount /proc/fs/nfsd || true
    rm -rf "$dir" /srv/open /srv/squashed
}
fail() { echo "nfs: $*"; exit 1; }

image() {
    mkdir -p root/bin image/blobs/sha256
    cp /bin/busybox root/bin/busybox
    for name in sh cat stat sleep touch ls; do ln -s busybox "root/bin/$name"; done
    tar -C root -cf layer .
    printf '{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/bin"]},"rootfs":{"type":"layers","diff_ids":["%s"]}}' \
        "$(digest layer)" >config
    printf '{"schemaVersion":2,"config":%s,"layers":[%s]}' "$(blob config config)" "$(blob layer layer.v1.tar)" >manifest
    printf '{"schemaVersion":2,"manifests":[%s]}' "$(blob manifest manifest)" >image/index.json
    printf '{"imageLayoutVersion":"1.0.0"}' >image/oci-layout
}
digest() { printf 'sha256:%s' "$(sha256sum <"$1" | cut -d' ' -f1)"; }
blob() {
    case $2 in
        config) type=application/vnd.oci.image.config.v1+json ;;
        manifest) type=application/vnd.oci.image.manifest.v1+json ;;
        *) type=application/vnd.oci.image.layer.v1.tar ;;
    esac
    cp "$1" "image/blobs/sha256/$(sha256sum <"$1" | cut -d' ' -f1)"
    printf '{"mediaType":"%s","digest":"%s","size":%s}' "$type" "$(digest "$1")" "$(stat -c %s "$1")"
}

# A job with the directory at /n, and read-only at /r: name, path, how many tasks, script.
describe() {
    cat >job.yaml <<JOB
apiVersion: run.googleapis.com/v1
kind: Job
metadata:
  name: $1
spec:
  template:
    spec:
      taskCount: $3
      template:
        spec:
          maxRetries: 0
          timeoutSeconds: 60
          containers:
          - image: oci:$dir/image
            command: [sh, -euc]
            args: ['$4']
            volumeMounts:
            - {name: n, mountPath: /n}
            - {name: r, mountPath: /r}
          volumes:
          - {name: n, nfs: {server: host.docker.internal, path: $2}}
          - {name: r, nfs: {server: host.docker.internal, path: $2, readOnly: true}}
JOB
}
job() {
    describe "$@"
    groundrun run job.yaml >out 2>&1 && code=0 || code=$?
    cat out
}
# Within a minute.
until_true() {
    tries=300
    until eval "$1"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || fail "never: $1"
        sleep 0.2
    done
}
begin() {
    groundrun serve --listen 127.0.0.1:8080 --data-dir "$dir/data" >served 2>&1 & server=$!
    until_true 'grep -q http served'
}
said() { grep -q "$1" out || fail "it does not say: $1"; }
nothing_mounted() {
    ! grep -lE ' - nfs4? ' /proc/[0-9]*/mountinfo 2>/dev/null | grep . || fail 'a mount is left'
}
serve() {
    rpc.nfsd "$@" 2
    # No client was there before whom it would have to wait for.
    [ ! -w /proc/fs/nfsd/v4_end_grace ] || echo Y >/proc/fs/nfsd/v4_end_grace
}

image
mkdir /srv/open /srv/squashed
chmod 1777 /srv/open
chown 1000:1000 /srv/squashed
chmod 700 /srv/squashed
modprobe nfsd
mount -t nfsd nfsd /proc/fs/nfsd
rpcbind
exportfs -o rw,no_root_squash,no_subtree_check,fsid=1 '*:/srv/open'
exportfs -o rw,all_squash,anonuid=1000,anongid=1000,no_subtree_check,fsid=2 '*:/srv/squashed'
serve
rpc.mountd

exchange='me=$CLOUD_RUN_TASK_INDEX; echo task $me >/n/$me; other=/r/$((1 - me)); until [ -s $other ]; do sleep 0.1; ls /r >/dev/null; done; cat $other; stat -c "owner %u:%g" $other; cat /proc/self/mountinfo'
describe newer /srv/open 2 "$exchange; until [ -e /r/go ]; do sleep 0.2; ls /r >/dev/null; done; echo on >>/n/\$me"
begin
groundrun jobs apply job.yaml
groundrun jobs execute newer
until_true '[ -s /srv/open/0 ] && [ -s /srv/open/1 ]'
kill -9 $server
wait $server || true
rpc.nfsd 0
serve
begin
touch /srv/open/go
until_true 'groundrun executions list --json | grep -q "\"succeededCount\": 2"'
groundrun logs "$(groundrun executions list --json | sed -n 's/.*"name": "\(newer-[^"]*\)".*/\1/p' | head -1)" >out
cat out
kill $server
wait $server || true
said 'task 0'
said 'task 1'
said 'owner 0:0'
said 'vers=4.2'
[ "$(cat /srv/open/0)" = "$(printf 'task 0\non')" ] || fail 'the server does not have the file'
[ "$(stat -c %u /srv/open/1)" -ge 1879048192 ] || fail 'to the server the task is one of its own users'
nothing_mounted
echo 'two tasks write and read by version 4.2, over the ends of both servers'

chmod 755 /srv/open
job looks /srv/open 1 'cat /n/0; if touch /n/x; then exit 9; fi; if touch /r/x; then exit 9; fi'
[ $code = 0 ] || fail "exit $code"
said 'Read-only file system'
said 'the server lets user 0 of the container, whom it sees as [0-9]*, write nothing there'
nothing_mounted
echo 'what a server does not let tasks do is said'

rpc.nfsd 0
serve --no-nfs-version 4
job older /srv/squashed 2 "$exchange"
[ $code = 0 ] || fail "exit $code"
said 'vers=3'
[ "$(stat -c %u:%g /srv/squashed/1)" = 1000:1000 ] || fail 'to the server the task is not whom it says'
nothing_mounted
echo 'two tasks write and read by version 3'

rpc.nfsd 0
job away /srv/open 1 true
[ $code != 0 ] || fail 'without a server it is mounted'
said 'mount NFS directory host.docker.internal:/srv/open: the server refuses connections'
nothing_mounted
echo 'a server that is away is named'
