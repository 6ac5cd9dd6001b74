# Completion of hesiod-watch for fish. The program itself says what may stand at the cursor.

function __hesiod_watch_complete
    set -l finished (commandline -opc)
    set -l current (commandline -ct)
    set -l found (hesiod-watch --complete $finished[2..-1] "$current" 2>/dev/null)
    if test "$found[1]" = :files
        __fish_complete_path "$current"
    else
        string join \n -- $found
    end
end

complete -c hesiod-watch -f -a '(__hesiod_watch_complete)'
