#!/bin/sh
# A launcher for a cluster with Slurm and a file system that its nodes share with this machine. In annot.toml:
#
#   [train]
#   launcher = "/path/to/docker/trainer/slurm.sh --account=my-team --partition=gpu"
#
# Words behind it go to sbatch. A job that is preempted or runs out of time is queued again, and the run goes on from its
# newest checkpoint; runs/NAME/DONE tells `annot status` that it is finished.
set -eu
exec sbatch --job-name="annot-$ANNOT_RUN" --gres=gpu:l40s:1 --cpus-per-task=8 --mem=64G --time=24:00:00 \
  --requeue --open-mode=append --output="$ANNOT_PROJECT/runs/$ANNOT_RUN/slurm.log" "$@" --wrap="exec $ANNOT_TRAIN"
