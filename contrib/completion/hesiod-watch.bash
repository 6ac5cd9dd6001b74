# Completion of hesiod-watch for bash. The program itself says what may stand at the cursor.

_hesiod_watch() {
    local word about
    COMPREPLY=()
    while IFS=$'\t' read -r word about; do
        if [[ $word == :files ]]; then
            compopt -o default
            return
        fi
        COMPREPLY+=("$word")
    done < <(hesiod-watch --complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}

complete -F _hesiod_watch hesiod-watch
