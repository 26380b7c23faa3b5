#!/bin/sh
# `annot select` of very many answers on a cluster with Slurm and a file system that its nodes share with this machine:
#
#   docker/select/slurm.sh PROJECT TASKS --account=my-team
#
# The answers are divided into shards here, TASKS jobs of one array choose from them, and the slates are put in order here.
# Further words go to sbatch. A job that fails or is preempted costs nothing but the shards it had in hand: run this again.
set -eu
project=$1 tasks=$2
shift 2
annot select --project "$project" --prepare
sbatch --wait --requeue --job-name=annot-select --array="0-$((tasks - 1))" --cpus-per-task=4 --mem=8G --time=4:00:00 \
  --output="$project/selection/slurm-%a.log" "$@" \
  --wrap="exec annot select --project '$project' --processes 4 --shard \$SLURM_ARRAY_TASK_ID/$tasks"
exec annot select --project "$project"
