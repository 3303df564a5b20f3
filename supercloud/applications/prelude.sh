# What each application's script begins with.  It finds:
#   PORT, PORTS    the first of its ports, and all of them: 12000 or 12000-12003
#   NODE, LISTEN   where it runs, and the address to listen at
#   TOKEN          a new secret; hand it to the application in its environment, where nobody else can read it
#   guard          for an application that asks nobody who they are: it is to listen at SOCKET, and whoever shows
#                  the portal's "Bearer TOKEN" at PORT is let through to it
#   announce PATH  called before the application starts: once it listens, the portal is told
#   customise FILE run a file of the person's own, if it is there; its errors are shown on the page
#   fail TEXT      end, and have this shown on the page
#   whole PATH     the path, with ~ for home
if [ -r /etc/profile ]; then . /etc/profile; fi
umask 077
PORTS=${SLURM_STEP_RESV_PORTS:-}
PORT=${PORTS%%[-,]*}
NODE=${SUPERCLOUD_NODE:-$(hostname -s)}
LISTEN=0.0.0.0
if [ "$NODE" = localhost ]; then LISTEN=127.0.0.1; fi
TOKEN=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
export PORT PORTS NODE LISTEN
# srun has told this step of itself in the variables that tell the next srun what to do: one task on one node. What is
# typed here is to reach all of the job, as in a batch script.
unset SLURM_NTASKS SLURM_NPROCS SLURM_NTASKS_PER_NODE SLURM_DISTRIBUTION SLURM_UMASK SLURM_STEPID SLURM_STEP_ID \
  SLURM_PROCID SLURM_LOCALID SLURM_NODEID SLURM_GTIDS SLURM_TASK_PID ${!SLURM_CPU_BIND@} ${!SLURM_MEM_BIND@} \
  ${!SLURM_STEP_N@} ${!SLURM_STEP_T@} ${!SLURM_STEP_L@} ${!SLURM_SRUN_@} ${!SLURM_PMI@} ${!PMI_@}
if [ -n "${SLURM_JOB_NUM_NODES:-}" ]; then
  export SLURM_NNODES=$SLURM_JOB_NUM_NODES SLURM_TASKS_PER_NODE=1
  [ "$SLURM_NNODES" = 1 ] || SLURM_TASKS_PER_NODE="1(x$SLURM_NNODES)"
fi

fail() {
  printf '%s\n' "$1" | tee "$SUPERCLOUD_FOLDER/trouble" >&2
  exit 1
}

whole() {
  case $1 in "~") printf '%s' "$HOME" ;; "~/"*) printf '%s' "$HOME/${1#??}" ;; *) printf '%s' "$1" ;; esac
}

customise() {
  [ -e "$1" ] || return 0
  local said
  said=$(bash -n "$1" 2>&1) || fail "Your $1 cannot be read: $said"
  # Once aside, where an error or exit ends nothing else; then here, so that what it sets stays.
  said=$( (set -e; . "$1") 2>&1 >/dev/null) || fail "Your $1 fails: ${said:-it says nothing}. Mend it, or move it away."
  . "$1"
}

guard() {
  type python3 >/dev/null 2>&1 || fail "There is no python3 on $NODE, which is needed to let only you in."
  # On the node itself: paths of sockets are short, and some shared file systems have none.
  SOCKET=$(mktemp -d)/socket || fail "No folder for a socket can be made on $NODE."
  TOKEN=$TOKEN python3 -I "$SUPERCLOUD_FOLDER/guard.py" "$LISTEN" "$PORT" "$SOCKET" $$ </dev/null &
}

announce() {
  (
    until (exec 3<>"/dev/tcp/$NODE/$PORT") 2>/dev/null; do
      kill -0 $$ 2>/dev/null || exit
      sleep 0.2
    done
    mkdir -p ~/.local/share/supercloud/sessions && cd ~/.local/share/supercloud/sessions || exit
    printf '{"node": "%s", "port": %s, "path": "%s", "token": "%s"}\n' "$NODE" "$PORT" "$1" "$TOKEN" \
      >".$SLURM_JOB_ID.json" && mv ".$SLURM_JOB_ID.json" "$SLURM_JOB_ID.json"
    if [ -n "${SUPERCLOUD_IDLE:-}" ]; then TOKEN=$TOKEN exec python3 -I "$SUPERCLOUD_FOLDER/idle.py"; fi
  ) </dev/null >/dev/null 2>&1 &
}
# ---- what follows is the application's own ----
