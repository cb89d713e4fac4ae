/** What to do next: command lines that fit the one that has just run, ready to be copied. */

/** A word of a command line, quoted if a shell would read it otherwise. */
export function shellWord(word: string): string {
  return /^[\w./:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Options and positional arguments as they are typed; undefined and false leave an option out. */
export function commandLine(
  command: string,
  positional: readonly string[],
  options: Readonly<Record<string, string | number | boolean | undefined>> = {},
): string {
  const flags = Object.entries(options).flatMap(([name, value]) => {
    if (value === undefined || value === false) return [];
    return value === true ? [`--${name}`] : [`--${name}`, shellWord(String(value))];
  });
  return ["npx early-exits", command, ...positional.map(shellWord), ...flags].join(" ");
}

/** "next:" and a line for each step. */
export function nextLines(...steps: readonly string[]): string[] {
  return steps.length === 0 ? [] : ["next:", ...steps.map((step) => `  ${step}`)];
}
