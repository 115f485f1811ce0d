# Completion of bon and bon-hydra in fish 3.1 or newer. For one shell: bon completion fish | source
function __bon_completion
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    set -l program (string replace -r '^~' $HOME -- $words[1])
    set -l typed (string join ' ' -- $words[2..-1] $word)
    set -l found
    if string match -qr '(^|/)bon$' -- $program
        set found (_TYPER_COMPLETE_ARGS="bon $typed" _TYPER_COMPLETE_FISH_ACTION=get-args _BON_COMPLETE=complete_fish \
            $program 2>/dev/null | string match -rv '^$')
    else
        set found (COMP_LINE="bon-hydra $typed" $program -sc query=fish 2>/dev/null | string match -rv '^$')
    end
    if set -q found[1]
        printf '%s\n' $found
    else
        # A path may follow the = of a key.
        set -l key (string match -r '^.*=' -- $word)
        for path in (__fish_complete_path (string replace -r '^.*=' '' -- $word))
            echo "$key$path"
        end
    end
end
complete -c bon -f -a '(__bon_completion)'
complete -c bon-hydra -f -a '(__bon_completion)'
