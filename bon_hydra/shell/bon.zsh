# Completion of bon and bon-hydra in zsh. For one shell: eval "$(bon completion zsh)"
_bon_completion() {
    local program="${~${(Q)words[1]}}" typed="${(j: :)words[2,CURRENT-1]} $PREFIX"
    local -a found open whole
    if [[ ${program:t} == bon ]]; then
        found=(${(f)"$(COMP_WORDS="bon ${typed# }" COMP_CWORD=$((CURRENT - 1)) _BON_COMPLETE=complete_bash \
            $program 2> /dev/null)"})
    else
        found=(${(f)"$(COMP_LINE="bon-hydra ${typed# }" $program -sc query=fish 2> /dev/null)"})
    fi
    open=(${(M)found:#*[=./]})
    whole=(${found:#*[=./]})
    (($#open)) && compadd -S '' -- $open
    (($#whole)) && compadd -- $whole
    (($#found)) && return
    compset -P '*='
    _files
}
(($+functions[compdef])) || { autoload -Uz compinit && compinit -i }
compdef _bon_completion bon bon-hydra
