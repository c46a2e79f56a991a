#!/usr/bin/env bash
# Runs Debian's carbon-cache and graphite-web in the foreground, in DIR alone:
#   run.sh DIR CARBON_PORT HTTP_PORT [PICKLE_PORT]
# It ends, and takes both with it, on SIGTERM or when one of them ends.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
dir=${1:?a folder of its own}
carbon_port=${2:?the port of the plaintext listener}
http_port=${3:?the port of the render API}
pickle_port=${4:-0}

mkdir -p "$dir/conf" "$dir/storage/whisper" "$dir/log"
dir=$(cd "$dir" && pwd)
cat >"$dir/conf/carbon.conf" <<CONF
[cache]
STORAGE_DIR = $dir/storage
LOCAL_DATA_DIR = $dir/storage/whisper
CONF_DIR = $dir/conf
LOG_DIR = $dir/log
PID_DIR = $dir
USER =
LINE_RECEIVER_INTERFACE = 127.0.0.1
LINE_RECEIVER_PORT = $carbon_port
PICKLE_RECEIVER_INTERFACE = 127.0.0.1
PICKLE_RECEIVER_PORT = $pickle_port
CACHE_QUERY_INTERFACE = 127.0.0.1
CACHE_QUERY_PORT = 0
MAX_CREATES_PER_MINUTE = inf
MAX_UPDATES_PER_SECOND = inf
WHISPER_SPARSE_CREATE = True
ENABLE_LOGROTATION = False
LOG_UPDATES = False
LOG_CREATES = False
LOG_CACHE_HITS = False
LOG_CACHE_QUEUE_SORTS = False
ENABLE_TAGS = True
GRAPHITE_URL = http://127.0.0.1:$http_port
CONF
# A second each, so that a test sees a point as soon as it is written, and each
# flush keeps a point of its own.
cat >"$dir/conf/storage-schemas.conf" <<CONF
[all]
pattern = .*
retentions = 1s:2h
CONF
cat >"$dir/local_settings.py" <<CONF
SECRET_KEY = 'of a test'
TIME_ZONE = 'UTC'
GRAPHITE_ROOT = '/usr/share/graphite-web'
STORAGE_DIR = '$dir/storage'
CONF_DIR = '$dir/conf'
LOG_DIR = '$dir/log'
INDEX_FILE = '$dir/storage/index'
WHISPER_DIR = '$dir/storage/whisper'
CARBONLINK_HOSTS = []
DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': '$dir/storage/graphite.db'}}
CONF

# Debian's packages belong to Debian's Python, whatever else is first in PATH.
export PYTHONPATH="$dir" DJANGO_SETTINGS_MODULE=graphite.settings PYTHONDONTWRITEBYTECODE=1
/usr/bin/python3 -m django migrate --run-syncdb --verbosity 0 2>"$dir/log/migrate.log" ||
  { cat "$dir/log/migrate.log" >&2; exit 1; }

trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
trap 'exit 143' TERM INT
/usr/bin/carbon-cache --config="$dir/conf/carbon.conf" --nodaemon --pidfile="$dir/carbon.pid" start >"$dir/log/carbon.log" 2>&1 &
/usr/bin/python3 "$here/serve.py" "$http_port" >"$dir/log/web.log" 2>&1 &
wait -n
