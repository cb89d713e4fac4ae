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

/** The command as it was given, with `more`: members other than `dir` are options, in camel case. */
export function commandAgain(command: string, { dir, ...given }: { readonly dir: string }, more: object): string {
  const options = Object.entries<unknown>({ ...given, ...more }).map(([name, value]) => [
    name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`),
    Array.isArray(value) ? value.join(",") : value,
  ]);
  return commandLine(command, [dir], Object.fromEntries(options) as Record<string, string>);
}

export function nextLines(...steps: readonly string[]): string[] {
  return steps.length === 0 ? [] : ["next:", ...steps.map((step) => `  ${step}`)];
}
