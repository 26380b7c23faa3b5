#!/bin/sh
# A launcher for Hugging Face Jobs: one L40S by the minute. Once, before the first run:
#
#   hf auth login
#   hf buckets create --private my-team/annot-runs
#   docker build --file docker/trainer/Dockerfile --tag my-registry/annot-trainer . && docker push my-registry/annot-trainer
#   export ANNOT_BUCKET=my-team/annot-runs ANNOT_IMAGE=my-registry/annot-trainer      (where `annot sync` runs)
#
# and in annot.toml:
#
#   [train]
#   launcher = "/path/to/docker/trainer/hf-job.sh"
#
# Words behind it go to `hf jobs run`, for example --flavor=l40sx4. The bucket is the job's project folder, so a job that is
# started again goes on from the newest checkpoint. The run comes home with
#
#   hf sync hf://buckets/$ANNOT_BUCKET/runs/NAME runs/NAME
set -eu
: "${ANNOT_BUCKET:?names the bucket for snapshots and runs, for example my-team/annot-runs}"
: "${ANNOT_IMAGE:?names the image made from docker/trainer/Dockerfile}"
hf sync "$ANNOT_PROJECT/snapshots/$ANNOT_SNAPSHOT" "hf://buckets/$ANNOT_BUCKET/snapshots/$ANNOT_SNAPSHOT"
eval "set -- \"\$@\" \"\$ANNOT_IMAGE\" annot train --project /project --data \"/project/snapshots/\$ANNOT_SNAPSHOT\" $ANNOT_TRAIN_OPTIONS"
exec hf jobs run --detach --name="annot-$ANNOT_RUN" --flavor=l40sx1 --timeout=24h --attempts=3 --secrets=HF_TOKEN \
  --volume="hf://buckets/$ANNOT_BUCKET:/project" "$@"
