#!/usr/bin/env bash
# Installs what the integration tests start. On Debian as root it does it; elsewhere it names the one command.
set -euo pipefail
packages=()
has() { command -v "$1" >/dev/null 2>&1; }
has clickhouse-server || [ -x /usr/bin/clickhouse ] || packages+=(clickhouse-server)
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || has initdb || packages+=(postgresql)
has chromium || has chromium-browser || packages+=(chromium)
[ -n "$(find /usr/share/fonts -iname '*NotoSansCJK*' -print -quit 2>/dev/null)" ] || packages+=(fonts-noto-cjk)
has java || packages+=(openjdk-17-jre-headless)
has mvn || packages+=(maven)
has openssl || packages+=(openssl)
[ ${#packages[@]} -eq 0 ] && exit 0
command="apt-get update && apt-get install -y ${packages[*]}"
if [ "$(id -u)" = 0 ] && has apt-get; then
  echo "installing ${packages[*]} …"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get -o DPkg::Lock::Timeout=300 update -qq && apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "${packages[@]}"; } >/dev/null
  # The tests start their own servers; a system-wide one would only take the port.
  if [[ " ${packages[*]} " == *" clickhouse-server "* || " ${packages[*]} " == *" postgresql "* ]] && has service; then
    service clickhouse-server stop >/dev/null 2>&1 || true
    service postgresql stop >/dev/null 2>&1 || true
  fi
else
  echo "the integration tests need: sudo sh -c '$command'" >&2
  exit 1
fi
