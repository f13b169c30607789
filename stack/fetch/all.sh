#!/usr/bin/env bash
# Everything the local servers need, in one go. Fast when it is all there already.

. "$(dirname "$0")/common.sh"

"$here/packages.sh" servers
"$here/kafka.sh"
"$here/elasticsearch.sh"

case "${STACK_DB:-mysql}" in
mariadb) ;;
mysql)
    status=0
    "$here/mysql.sh" || status=$?
    case $status in
    0) ;;
    3)
        say mysql 'falling back to MariaDB from the host'
        STACK_DB=mariadb "$here/packages.sh" servers
        ;;
    *) exit "$status" ;;
    esac
    ;;
*) fail "STACK_DB is '$STACK_DB': mysql or mariadb" ;;
esac
