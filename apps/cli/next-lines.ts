/** Next steps: command lines ready to be copied. */

/** Quotes a word that a shell would read otherwise. */
export function shellWord(word: string): string {
  return /^[\w./:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** undefined and false leave an option out. */
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

export function nextLines(...steps: readonly string[]): string[] {
  return steps.length === 0 ? [] : ["next:", ...steps.map((step) => `  ${step}`)];
}
