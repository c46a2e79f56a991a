#!/bin/sh
# run.sh DIR PORT: a real Elasticsearch 7 node on 127.0.0.1:PORT, in the
# foreground, its data below DIR. Its jars come from Maven Central the first time
# and from a cache afterwards. README.md says more.
set -eu
if [ $# -ne 2 ]; then
	echo "usage: $0 DIR PORT" >&2
	exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
dir=$(cd "$1" && pwd)
port=$2

sum=$(cat "$here/pom.xml" "$here/SearchNode.java" | sha256sum | cut -c 1-12)
cache=${ADDONS_ELASTICSEARCH_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/addons-elasticsearch}/$sum
if [ ! -d "$cache" ]; then
	mkdir -p "$(dirname "$cache")"
	# Made aside and moved, so that a run that was cut short leaves no half cache.
	new=$(mktemp -d "$cache.XXXXXX")
	mvn -B -q -f "$here/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
		-DincludeScope=runtime -DoutputDirectory="$new/lib"
	javac -d "$new/lib" -cp "$new/lib/*" "$here/SearchNode.java"
	mv -T "$new" "$cache" 2>/dev/null || rm -rf "$new" # another run was faster
fi

# The node may run as another user, who cannot look into this one's cache.
rm -rf "$dir/lib"
cp -r "$cache/lib" "$dir/lib"
mkdir -p "$dir/config" "$dir/data" "$dir/logs" "$dir/modules" "$dir/plugins" "$dir/tmp"
chmod -R a+rX "$dir/lib"

set -- java -Xms256m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
	-Djava.io.tmpdir="$dir/tmp" -Djna.tmpdir="$dir/tmp" -Dlog4j2.disable.jmx=true -Des.path.home="$dir" \
	-cp "$dir/lib:$dir/lib/*" SearchNode "$dir" "$port"
cd "$dir"
if [ "$(id -u)" = 0 ]; then
	# Elasticsearch refuses to be root.
	chown -R nobody:nogroup config data logs modules plugins tmp
	exec setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"
fi
exec "$@"
