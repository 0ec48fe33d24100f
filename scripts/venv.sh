# Sourced by the other scripts: makes the project's own virtual environment, and makes it anew when what it
# depends on has changed.  Sets $top and $venv.  Arguments of make_venv: extras (may be empty), an interpreter.
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

find_python() {
    local name
    for name in python3 python3.13 python3.12 python3.11 python3.10 python; do
        if "$name" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "batchq needs Python 3.10 to 3.13; none was found" >&2
    return 1
}

make_venv() {
    local extras=$1 python=${2:-$(find_python)} tag stamp
    tag=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    venv=$top/.venv/$tag${extras:+-$extras}
    stamp=$(cat "$top/setup.cfg" "$top/pyproject.toml" | cksum)
    if [ "$(cat "$venv/stamp" 2>/dev/null)" != "$stamp" ]; then
        echo "making the virtual environment ${venv#"$top/"} ..." >&2
        "$python" -m venv --clear "$venv"
        "$venv/bin/pip" install --disable-pip-version-check --no-compile -q -e "$top${extras:+[$extras]}"
        echo "$stamp" > "$venv/stamp"
    fi
}
