# Completion of bon and bon-hydra in bash 4.4 or newer. For one shell: eval "$(bon completion bash)"
_bon_completion() {
    local line="${COMP_LINE:0:COMP_POINT}" IFS=$' \t\n' program="${1/#\~/$HOME}" word typed found kept candidate
    local -a words
    read -ra words <<< "$line"
    word="${line##*[[:space:]]}"
    typed="${words[*]:1}"
    [[ -z $word ]] && typed+=" "
    if [[ ${program##*/} == bon ]]; then
        found=$(COMP_WORDS="bon $typed" COMP_CWORD=$((${#words[@]} - (${#word} > 0))) _BON_COMPLETE=complete_bash \
            command "$program" 2> /dev/null)
    else
        found=$(COMP_LINE="bon-hydra $typed" command "$program" -sc query=fish 2> /dev/null)
    fi
    # Readline replaces only what follows the last of its word breaks, = among them.
    kept="${word%"${word##*["$COMP_WORDBREAKS"]}"}"
    COMPREPLY=()
    while IFS= read -r candidate; do
        [[ -n $candidate && $candidate == "$word"* ]] && COMPREPLY+=("${candidate#"$kept"}")
    done <<< "$found"
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[=./] ]] && compopt -o nospace
    return 0
}
complete -o default -F _bon_completion bon bon-hydra
