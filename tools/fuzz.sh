#!/bin/sh
# tools/fuzz.sh BUILD_FOLDER SECONDS [NAME...] - runs each libFuzzer target for so long, from its seeds in fuzz/corpus.
# What it finds on the way stays in BUILD_FOLDER/corpus; an input that crashes it is named and kept beside it.
set -eu
cd "$(dirname "$0")/.."
folder=$1
seconds=$2
shift 2
failed=0

[ $# -gt 0 ] || set -- $(cd "$folder/fuzz" && ls | sed -n 's/_fuzz$//p')
for name in "$@"; do
	found="$folder/corpus/$name"
	log="$folder/$name.log"
	if ! [ -x "$folder/fuzz/${name}_fuzz" ]; then
		echo "FAIL fuzz/$name: there is no $folder/fuzz/${name}_fuzz; \`make fuzz\` builds all targets"
		failed=1
		continue
	fi
	mkdir -p "$found"
	if "$folder/fuzz/${name}_fuzz" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -verbosity=1 \
		-artifact_prefix="$folder/$name-" "$found" "fuzz/corpus/$name" >"$log" 2>&1; then
		echo "ok   fuzz/$name: $(sed -n 's/^Done \([0-9]*\) runs.*/\1 runs/p' "$log")"
	else
		echo "FAIL fuzz/$name"
		tail -n 60 "$log"
		failed=1
	fi
done
exit $failed
