# Starts vLLM on the model in /mnt/models:
#   bash -c THIS vllm PRESET-FLAG... -- ARGUMENT...
# Preset flags are taken as they stand. The container's own arguments and VLLM_ADDITIONAL_ARGS are read
# by the shell once more, so that one argument may hold several quoted words; an argument that is JSON
# as a whole is left alone.
set -u

flags=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  flags+=("$1")
  shift
done
[ $# -eq 0 ] || shift

# Prints nothing when the program does not tell; then no flag that depends on it is passed.
version=$(vllm --version 2>/dev/null | awk 'END { print $NF }')
at_least() {
  [ -n "$version" ] && [ "$(printf '%s\n%s\n' "$1" "$version" | sort -V | head -n 1)" = "$1" ]
}

# ZMQ binds to addresses only, and the leader's name may resolve a little later than we start.
leader_address() {
  [[ ! ${LWS_LEADER_ADDRESS:-} =~ ^[0-9.]+$|: ]] || {
    echo "$LWS_LEADER_ADDRESS"
    return
  }
  for _ in $(seq "${DP_ADDRESS_RESOLVE_ATTEMPTS:-30}"); do
    found=$(getent hosts "${LWS_LEADER_ADDRESS:-}" | awk 'NR == 1 { print $1 }')
    [ -z "$found" ] || break
    sleep 1
  done
  echo "${found:-${LWS_LEADER_ADDRESS:-}}"
}

# "0", "LWS_WORKER_INDEX" or "LWS_WORKER_INDEX*2". Nothing but digits gets into the arithmetic.
rank() {
  local index=${LWS_WORKER_INDEX:-0} times=${1#LWS_WORKER_INDEX}
  times=${times#\*}
  [ "$1" = "$times" ] && index=1
  case $index${times:=1} in
    *[!0-9]*) echo "rank '$1' of index '$index' is no number" >&2 ;;
    *) echo $((index * times)) ;;
  esac
}

# RDMA over converged Ethernet: names the active adapters and their most common IPv4 GID index.
use_roce() {
  local type=${KSERVE_INFER_IB_GID_INDEX_GREP:-RoCE v2} adapters="" indexes="" index port gid
  for port in /sys/class/infiniband/mlx5_*/ports/1; do
    grep -qs ACTIVE "$port/state" || continue
    index=$(grep -lsF "$type" "$port"/gid_attrs/types/* | while read -r gid; do
      grep -qs 0000:0000:0000:0000:0000:ffff "$port/gids/${gid##*/}" && echo "${gid##*/}"
    done | sort -n | head -n 1)
    [ -n "$index" ] || continue
    port=${port%/ports/1}
    adapters="$adapters ${port##*/}"
    indexes="$indexes $index"
  done
  [ -n "$adapters" ] || return 0
  local plain with_port
  plain=$(echo $adapters | tr ' ' ',')
  with_port=$(for port in $adapters; do echo "$port:1"; done | paste -sd, -)
  index=$(printf '%s\n' $indexes | sort -n | uniq -c | sort -k1,1nr |
    awk 'NR == 1 { most = $1; pick = $2 } $1 == most && $2 == 3 { pick = 3 } END { print pick }')
  export NCCL_IB_HCA=${NCCL_IB_HCA:-$plain}
  export NVSHMEM_HCA_LIST=${NVSHMEM_HCA_LIST:-$with_port} UCX_NET_DEVICES=${UCX_NET_DEVICES:-$with_port}
  export NCCL_IB_GID_INDEX=${NCCL_IB_GID_INDEX:-$index}
  export NVSHMEM_IB_GID_INDEX=${NVSHMEM_IB_GID_INDEX:-$NCCL_IB_GID_INDEX}
  export UCX_IB_GID_INDEX=${UCX_IB_GID_INDEX:-$NCCL_IB_GID_INDEX}
}
[ "${KSERVE_INFER_ROCE:-}" != true ] || use_roce

chosen=()
for flag in ${flags[@]+"${flags[@]}"}; do
  case $flag in
    --disable-access-log-for-endpoints=*)
      [ -n "$version" ] || continue
      at_least 0.16.0 || flag=--disable-uvicorn-access-log ;;
    --shutdown-timeout=*) at_least 0.18.0 || continue ;;
    --kv-transfer-config={\"kv_connector\":\"OffloadingConnector*) at_least 0.22.0 || continue ;;
    --api-server-count=*) flag=--api-server-count=${VLLM_API_SERVER_COUNT:-${flag#*=}} ;;
    --data-parallel-address=* | --master-addr=*) flag=${flag%%=*}=$(leader_address) ;;
    --data-parallel-start-rank=* | --node-rank=*) flag=${flag%%=*}=$(rank "${flag#*=}") ;;
  esac
  chosen+=("$flag")
done

words=
for word in "$@"; do
  case $word in
    \{*\} | \[*\] | --*=\{*\}) word=$(printf %q "$word") ;;
  esac
  words="$words $word"
done
eval "exec vllm serve /mnt/models \"\${chosen[@]}\" ${VLLM_ADDITIONAL_ARGS:-} $words"
