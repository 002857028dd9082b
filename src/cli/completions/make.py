#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes the completion of a program for a shell, from its manual page: make.py bash|zsh|fish PAGE OUTPUT

What is offered: options, the values of those that take one of a few words, files and folders, hosts, the
destinations, and for hl7-queue its commands and the ids that its own list prints, the first 200 of them.
"""
import pathlib
import sys

import page

FOLDERS, FILES, COMMANDS, HOSTS = "folders", "files", "commands", "hosts"
DESTINATIONS, IDS, NOTHING = "destinations", "ids", ""

# Arguments whose values are the same kind of thing in all programs; of others nothing is known
KINDS = {"dir": FOLDERS, "file": FILES, "template": FILES, "command": COMMANDS, "host": HOSTS, "id": IDS}

HEAD = """\
# SPDX-License-Identifier: MIT
# Completion for {program}({section}), made of its manual page.
"""


def kind(program, argument):
    """What an argument of a program or an option is completed with."""
    if argument == "name" and program != "hl7-amqp":
        return DESTINATIONS
    return KINDS.get(argument, NOTHING)


def arguments_of(p):
    """The kinds of a program's arguments that are no commands of it."""
    return [kind(p.program, word) for word in p.arguments if not p.commands]


def quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


# --- bash --------------------------------------------------------------------------------------------------

# COMP_WORDS is cut at = and :, so the line itself is looked at; what readline replaces begins behind the last of them
BASH_FRAME = """\
{name}()
{{
	local line=${{COMP_LINE:0:COMP_POINT}} word value option="" first="" i words {locals}

	word=${{line##*[[:space:]]}}
	read -ra words <<<"${{line%"$word"}}"
	COMPREPLY=()
	for ((i = 1; i < ${{#words[@]}}; i++)); do
{noted}		case ${{words[i]}} in
		{separate}) ((++i)) ;;
		-*) ;;
		*) first=${{first:-${{words[i]}}}} ;;
		esac
	done
	# an option's value: behind its =, or the next word
	if [[ $word == --*=* ]]; then
		option=${{word%%=*}} value=${{word#*=}}
	elif [[ ${{#words[@]}} -gt 1 && ${{words[-1]}} == -* ]]; then
		option=${{words[-1]}} value=$word
	fi
	case $option in
{values}
	esac
	value=$word
	if [[ $word == -* ]]; then
		{name}_words {options}
		[[ ${{#COMPREPLY[@]}} != 1 || ${{COMPREPLY[0]}} != *= ]] || compopt -o nospace
		return
	fi
{arguments}
}}

# Those of the words that begin with the value; without what is on the line already, before the last :
{name}_words()
{{
	mapfile -t COMPREPLY < <(compgen -W "$*" -- "$value")
	[[ $value != *:* || $COMP_WORDBREAKS != *:* ]] || COMPREPLY=("${{COMPREPLY[@]#"${{value%:*}}:"}}")
}}

{name}_paths() # -f or -d
{{
	compopt -o filenames
	mapfile -t COMPREPLY < <(compgen "$1" -- "$value")
}}
complete -F {name} {program}
"""

# What a program's completions need to know of the words before: the local variable, and how it is found
BASH_NOTED = {
    "hl7-queue": ("store=()", '\t\t[[ ${words[i]} != --store=* ]] || store=("${words[i]}")\n'),
    "hl7-forward": ("folder=/etc/hl7-inetd/destinations",
                    "\t\t[[ ${words[i]} != --destinations=* ]] || folder=${words[i]#*=}\n"),
}

# The first words of the lines below the heading; compgen expands what it gets, so nothing but names may come through
BASH_FIRST_WORDS = r"sed -n '2,$ s,^\([A-Za-z0-9_./-]*\).*,\1,p'"


def bash_name(p):
    return "_" + p.program.replace("-", "_")


def bash_action(p, what, values=()):
    name = bash_name(p)
    if values:
        return f"{name}_words {' '.join(map(quoted, values))}"
    if what == DESTINATIONS and p.program == "hl7-forward":
        return (f"{name}_words \"$(printf '%s\\n' \"$folder\"/*.conf |\n"
                "\t\t\tsed -n 's,.*/\\([A-Za-z0-9_-]*\\)[.]conf$,\\1,p')\"")
    if what == DESTINATIONS:
        return f'{name}_words "$(command hl7-queue "${{store[@]}}" status 2>/dev/null |\n\t\t\t{BASH_FIRST_WORDS})"'
    return {FOLDERS: f"{name}_paths -d", FILES: f"{name}_paths -f", NOTHING: ":",
            COMMANDS: 'mapfile -t COMPREPLY < <(compgen -c -- "$value")',
            HOSTS: 'mapfile -t COMPREPLY < <(compgen -A hostname -- "$value")'}[what]


def bash_ids(p, only):
    return (f'{bash_name(p)}_words "$(command hl7-queue "${{store[@]}}" list --limit=200{only} 2>/dev/null |\n'
            f'\t\t\t{BASH_FIRST_WORDS})"')


def bash_options(options):
    """Those with a value end in =."""
    return " ".join(name + ("=" if o.argument and name.startswith("--") else "") for o in options for name in o.names)


def bash_values(p):
    """Arms of a case: what options with a value are completed with."""
    arms = {}
    for o in p.options:
        if o.argument:
            arms.setdefault(bash_action(p, kind(p.program, o.argument), o.values), []).extend(o.names)
    return "\n".join(f"\t{' | '.join(names)})\n\t\t{action}\n\t\treturn\n\t\t;;" for action, names in arms.items())


def bash_commands(p):
    lines = ["\tcase $first in", f'\t"") {bash_action(p, NOTHING, [c.name for c in p.commands])} ;;']
    for c in p.commands:
        if "id" in c.arguments:
            lines.append(f"\t{c.name})\n\t\t{bash_ids(p, ' --failed' if c.name == 'retry' else '')}")
            if "dir" in c.arguments:
                lines.append(f"\t\t[[ ${{#COMPREPLY[@]}} != 0 ]] || {bash_action(p, FOLDERS)}")
            lines.append("\t\t;;")
    return "\n".join([*lines, "\tesac"])


def bash_arguments(p):
    if p.commands:
        return bash_commands(p)
    kinds = arguments_of(p)
    if not kinds:
        return "\t:"
    if kinds[0] == HOSTS:
        return ('\tif [[ $first == "" && " ${words[*]}" != *" --via"* ]]; then\n\t\t'
                f"{bash_action(p, HOSTS)}\n\telse\n\t\t{bash_action(p, kinds[1])}\n\tfi")
    return "\t" + bash_action(p, kinds[0])


def bash_options_of_commands(p):
    """A function that prints the options that a command takes."""
    lines = [f"{bash_name(p)}_options() # COMMAND", "{", "\tcase $1 in"]
    for c in p.commands:
        with_it = [o for o in p.options if not o.commands or c.name in o.commands]
        lines.append(f'\t{c.name}) printf %s "{bash_options(with_it)}" ;;')
    return "\n".join([*lines, f'\t*) printf %s "{bash_options(p.options)}" ;;', "\tesac", "}", "", ""])


def bash(p):
    name = bash_name(p)
    local, noted = BASH_NOTED.get(p.program, ("", ""))
    options, more = bash_options(p.options), ""
    if p.commands:
        options, more = f'"$({name}_options "$first")"', bash_options_of_commands(p)
    separate = " | ".join(name for o in p.options if o.argument for name in o.names)
    return HEAD.format(program=p.program, section=p.section) + more + BASH_FRAME.format(
        name=name, program=p.program, locals=local, noted=noted, separate=separate or "--", options=options,
        values=bash_values(p), arguments=bash_arguments(p)).replace("words \n", "words\n")


# --- zsh ---------------------------------------------------------------------------------------------------

def zsh_escaped(text):
    return text.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")


ZSH_ACTIONS = {FOLDERS: "_files -/", FILES: "_files", COMMANDS: "_cmdstring", HOSTS: "_hosts", NOTHING: " ",
               DESTINATIONS: "{name}_destinations", IDS: "{name}_ids"}


def zsh_action(p, what, values=()):
    if values:
        return f"({' '.join(zsh_escaped(value) for value in values)})"
    return ZSH_ACTIONS[what].format(name="_" + p.program.replace("-", "_"))


def zsh_option(p, o):
    """The specification of an option for _arguments."""
    # each may be given once, but for those that may be given again
    again = "*" if o.names[-1] in ("--allow", "--url") else ""
    end = f":{o.argument}:{zsh_action(p, kind(p.program, o.argument), o.values)}" if o.argument else ""
    mark = "=" if o.argument else ""
    told = f"[{zsh_escaped(o.description)}]{end}"
    if len(o.names) == 1:
        return quoted(f"{again}{o.names[0]}{mark}{told}")
    return f"{quoted('(' + ' '.join(o.names) + ')')}{{{','.join(name + mark for name in o.names)}}}{quoted(told)}"


ZSH_HELPERS = {
    "hl7-forward": """\
_hl7_forward_destinations() {
	local folder=${opt_args[--destinations]:-/etc/hl7-inetd/destinations} names
	names=($folder/*.conf(N:t:r))
	_wanted destinations expl destination compadd -a names
}
""",
    "hl7-queue": """\
# the folder is in store, and the command that the ids are for in verb
_hl7_queue_destinations() {
	local names=(${${(f)"$(command hl7-queue $store status 2>/dev/null | sed 1d)"}%% *})
	_wanted destinations expl destination compadd -a names
}

_hl7_queue_ids() {
	local names only=()
	[[ $verb != retry ]] || only=(--failed)
	names=(${${(f)"$(command hl7-queue $store list --limit=200 $only 2>/dev/null | sed 1d)"}%% *})
	_wanted ids expl id compadd -a names
}
""",
}


def zsh_arguments(p):
    """Specifications of the arguments of a program without commands."""
    kinds = list(zip(p.arguments, arguments_of(p)))
    if not kinds:
        return []
    last = f"*:{kinds[-1][0]}:{zsh_action(p, kinds[-1][1])}"
    return [quoted(f"{n}:{word}:{zsh_action(p, what)}") for n, (word, what) in enumerate(kinds[:-1], 1)] + [quoted(last)]


def zsh_call(specifications, indent, options="-s -S"):
    return f" \\\n{indent}\t".join([f"{indent}_arguments {options}", *specifications])


def zsh(p):
    name = "_" + p.program.replace("-", "_")
    lines = [f"#compdef {p.program}", HEAD.format(program=p.program, section=p.section)]
    lines.append(ZSH_HELPERS.get(p.program, ""))
    if not p.commands:
        lines += ["typeset -A opt_args", zsh_call([zsh_option(p, o) for o in p.options] + zsh_arguments(p), "")]
        return "\n".join(lines) + "\n"
    general = [zsh_option(p, o) for o in p.options if not o.commands]
    lines += [f"{name}_commands() {{", "\tlocal commands=("]
    lines += ["\t\t" + quoted(f"{c.name}:{zsh_escaped(c.description)}") for c in p.commands]
    lines += ["\t)", "\t_describe -t commands command commands", "}", "",
              f"{name}() {{", "\tlocal curcontext=$curcontext verb state line store=(${(M)words:#--store=*})",
              "\ttypeset -A opt_args",
              zsh_call([*general, quoted(f"1:command:{name}_commands"), "'*::argument:->argument'"], "\t", "-C"),
              "\t[[ $state == argument ]] || return", "\tverb=$line[1]", "\tcase $verb in"]
    for c in p.commands:
        options = [zsh_option(p, o) for o in p.options if not o.commands or c.name in o.commands]
        kinds = [kind(p.program, word) for word in c.arguments]
        rest = []
        if IDS in kinds:
            action = f"{name}_ids"
            if FOLDERS in kinds:
                action = f'_alternative "ids:id:{name}_ids" "folders:folder:_files -/"'
            rest = [quoted(f"*:id:{{{action}}}" if " " in action else f"*:id:{action}")]
        lines += [f"\t{c.name})", zsh_call(options + rest, "\t\t"), "\t\t;;"]
    lines += ["\tesac", "}", "", f'{name} "$@"']
    return "\n".join(lines) + "\n"


# --- fish --------------------------------------------------------------------------------------------------

FISH_HELPERS = {
    "hl7-forward": """\
function __hl7_forward_destinations
	set -l folder /etc/hl7-inetd/destinations
	for word in (commandline -opc)
		string match -q -- '--destinations=*' $word; and set folder (string replace -- --destinations= '' $word)
	end
	path basename $folder/*.conf 2>/dev/null | string replace -r '\\.conf$' ''
end
""",
    "hl7-queue": """\
function __hl7_queue_run
	command hl7-queue (string match -- '--store=*' (commandline -opc)) $argv 2>/dev/null | string replace -r ' .*' '' | tail -n +2
end
""",
}

FISH_ACTIONS = {FOLDERS: "-x -a '(__fish_complete_directories (commandline -ct | string replace -r \"^--[^=]*=\" \"\"))'",
                FILES: "-r -F", COMMANDS: "-x -a '(__fish_complete_command)'", HOSTS: "-x -a '(__fish_print_hostnames)'",
                NOTHING: "-x"}


def fish_action(p, what, values=()):
    if values:
        return f"-x -a {quoted(' '.join(values))}"
    if what == DESTINATIONS:
        function = "__hl7_forward_destinations" if p.program == "hl7-forward" else "__hl7_queue_run status"
        return f"-x -a '({function})'"
    return FISH_ACTIONS[what]


def fish_quoted(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def fish_option(p, o):
    words = ["complete", "-c", p.program]
    if o.commands:
        words += ["-n", quoted("__fish_seen_subcommand_from " + " ".join(o.commands))]
    for name in o.names:
        words += ["-l", name[2:]] if name.startswith("--") else ["-s", name[1:]]
    if o.argument:
        words.append(fish_action(p, kind(p.program, o.argument), o.values))
    return " ".join([*words, "-d", fish_quoted(o.description)])


def fish_commands(p):
    names = " ".join(c.name for c in p.commands)
    lines = [f"complete -c {p.program} -f"]
    for c in p.commands:
        lines.append(f"complete -c {p.program} -n {quoted('not __fish_seen_subcommand_from ' + names)} -a {c.name} "
                     f"-d {fish_quoted(c.description)}")
        if "id" in c.arguments:
            only = " --failed" if c.name == "retry" else ""
            lines.append(f"complete -c {p.program} -n '__fish_seen_subcommand_from {c.name}' "
                         f"-a '(__hl7_queue_run list --limit=200{only})'")
        if "dir" in c.arguments:
            lines.append(f"complete -c {p.program} -n '__fish_seen_subcommand_from {c.name}' "
                         "-a '(__fish_complete_directories)'")
    return lines


def fish(p):
    lines = [HEAD.format(program=p.program, section=p.section) + FISH_HELPERS.get(p.program, "")]
    lines += [fish_option(p, o) for o in p.options]
    if p.commands:
        lines += fish_commands(p)
    elif DESTINATIONS in arguments_of(p):
        lines.append(f"complete -c {p.program} {fish_action(p, DESTINATIONS)}")
    elif HOSTS in arguments_of(p):
        lines.append(f"complete -c {p.program} -n 'test (count (string match -v -- \"-*\" (commandline -opc))) -eq 1' "
                     "-a '(__fish_print_hostnames)'")
    elif not arguments_of(p):
        lines.append(f"complete -c {p.program} -f")
    return "\n".join(lines) + "\n"


def main(shell, source, output):
    p = page.read(pathlib.Path(source))
    text = {"bash": bash, "zsh": zsh, "fish": fish}[shell](p)
    pathlib.Path(output).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
