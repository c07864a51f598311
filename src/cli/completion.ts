/**
 * `etcd-election completion SHELL`: prints a script that completes commands and flags. The flags come from the help
 * texts, except those of the demo.
 */
import { UsageError } from './arguments.ts';
import { EXIT } from './exit-codes.ts';
import { print, SafeText, type Terminal } from './terminal.ts';

export const usage = `Usage: etcd-election completion bash|zsh|fish

Prints a script that completes commands and flags:

  bash  source <(etcd-election completion bash)                   in ~/.bashrc
  zsh   source <(etcd-election completion zsh)                    in ~/.zshrc, after compinit
  fish  etcd-election completion fish > ~/.config/fish/completions/etcd-election.fish`;

export interface Completable {
  readonly name: string;
  readonly summary: string;
  /** Flags with their dashes, such as `--json`. */
  readonly flags: readonly string[];
}

export const flagsOf = (help: string): string[] => [
  ...new Set([...help.matchAll(/(?<![\w-])--[a-z][a-z-]+/g)].map(([flag]) => flag)),
];

export function completion(
  words: readonly string[],
  commands: readonly Completable[],
  terminal: Terminal,
): number {
  const [shell, ...more] = words;
  const script = shell === undefined || !Object.hasOwn(SCRIPTS, shell) ? undefined : SCRIPTS[shell];
  if (script === undefined || more.length > 0) throw new UsageError('expected one shell: bash, zsh or fish');
  print(terminal.stdout, SafeText.ofOurs(script(commands)));
  return EXIT.ok;
}

const namesOf = (commands: readonly Completable[]): string =>
  ['help', ...commands.map(({ name }) => name)].join(' ');

/** After `--`, bash completes file names, and zsh completes what the command after `--` accepts. */
const SCRIPTS: Readonly<Record<string, (commands: readonly Completable[]) => string>> = {
  bash: (commands) => `_etcd_election() {
  local current=\${COMP_WORDS[COMP_CWORD]} words='' at
  COMPREPLY=()
  for ((at = 2; at < COMP_CWORD; at++)); do
    [ "\${COMP_WORDS[at]}" = -- ] && return
  done
  if [ "$COMP_CWORD" -eq 1 ]; then
    words='${namesOf(commands)}'
  else
    case \${COMP_WORDS[1]} in
      help) words='${namesOf(commands)}' ;;
${commands.map(({ name, flags }) => `      ${name}) words='${[...flags, ...operands(name)].join(' ')}' ;;`).join('\n')}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _etcd_election etcd-election`,

  zsh: (commands) => `#compdef etcd-election
_etcd_election() {
  local -a commands
  commands=(
    'help:explain a command'
${commands.map(({ name, summary }) => `    '${name}:${quoted(summary.replaceAll(':', ' '))}'`).join('\n')}
  )
  local -i end=\${words[(i)--]}
  if (( end > 2 && end < CURRENT )); then
    shift $end words
    (( CURRENT -= end ))
    _normal
    return
  fi
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  case $words[2] in
    help) _describe command commands ;;
${commands.map(({ name, flags }) => `    ${name}) compadd -- ${[...flags, ...operands(name)].join(' ')} ;;`).join('\n')}
  esac
}
compdef _etcd_election etcd-election`,

  fish: (commands) =>
    [
      'complete -c etcd-election -f',
      `complete -c etcd-election -n __fish_use_subcommand -a help -d 'explain a command'`,
      ...commands.flatMap(({ name, summary, flags }) => [
        `complete -c etcd-election -n __fish_use_subcommand -a ${name} -d '${quoted(summary)}'`,
        `complete -c etcd-election -n '__fish_seen_subcommand_from help' -a ${name} -d '${quoted(summary)}'`,
        ...flags.map(
          (flag) => `complete -c etcd-election -n '__fish_seen_subcommand_from ${name}' -l ${flag.slice(2)}`,
        ),
        ...operands(name).map(
          (word) => `complete -c etcd-election -n '__fish_seen_subcommand_from ${name}' -a ${word}`,
        ),
      ]),
    ].join('\n'),
};

const operands = (name: string): readonly string[] => (name === 'completion' ? ['bash', 'zsh', 'fish'] : []);

/** Replaces straight quotes, because the text stands between single quotes. */
const quoted = (text: string): string => text.replaceAll("'", '’');
