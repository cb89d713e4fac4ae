/**
 * Arguments that JavaScript lets pass and TypeScript would not: options that a function does not have, which were
 * misspelt or belong to another, and text in place of a list. A list of the names that each function knows is enough.
 */
import { OptionError } from "./errors.js";
import { shown } from "./shown.js";

/** Returns the names of all options. The compiler refuses a list that lacks one. */
export const allNames =
  <Options>() =>
  <const Names extends readonly (keyof Options)[]>(...names: keyof Options extends Names[number] ? Names : never) =>
    names as readonly string[];

/** Names that other libraries, or other functions here, give to the same thing. */
const SYNONYMS: Readonly<Record<string, readonly string[]>> = {
  lr: ["learningRate"],
  alpha: ["epsilon", "agreement"],
  epsilon: ["agreement"],
  level: ["agreement", "epsilon"],
};

/** Options that several functions have, by a member that a legal value has, and what to give. */
const TYPES = {
  signal: ["throwIfAborted", "an AbortSignal"],
  onProgress: ["call", "a function"],
  device: ["backend", "what createDevice returns"],
  eosTokenIds: ["every", "a list of ids"],
  tokenizer: ["encode", "what readTokenizer returns"],
} as const;

/**
 * Throws an OptionError ("option-unknown") for an option that is not `known`, with the nearest one that is, or if there
 * is no object of options, or if a signal, a device and the like are none. `where` names the function.
 */
export function requireKnown(where: string, options: unknown, known: readonly string[]): void {
  const unknown =
    typeof options === "object" && options !== null
      ? Object.keys(options).find((name) => !known.includes(name))
      : shown(options);
  if (unknown === undefined) {
    for (const [name, [member, legal]] of Object.entries(TYPES)) {
      const value = (options as Readonly<Record<string, Readonly<Record<string, unknown>> | null | undefined>>)[name];
      if (value === undefined || value?.[member]) continue;
      throw new OptionError("option-unknown", `${where}: ${name} is ${shown(value)}; give ${legal}`);
    }
    return;
  }
  const asked = pairsIn(unknown);
  const likeness = (name: string): number => pairsIn(name).filter((pair) => asked.includes(pair)).length;
  const meant = SYNONYMS[unknown]?.find((name) => known.includes(name));
  const nearest = meant ?? known.toSorted((a, b) => likeness(b) - likeness(a))[0]!;
  throw new OptionError(
    "option-unknown",
    `${where}: there is no option ${unknown}; the nearest is { ${nearest}: … } of ${known.join(", ")}`,
  );
}

const pairsIn = (text: string): string[] =>
  Array.from(text.toLowerCase(), (_, i) => text.toLowerCase().slice(i, i + 2));

/** Throws an OptionError ("list-expected") unless the value is a list. `where` names the function and the argument. */
export function requireList(where: string, value: unknown): void {
  if (Array.isArray(value)) return;
  throw new OptionError("list-expected", `${where}: expected a list, found ${shown(value)}; give [ … ]`);
}

/** Throws an OptionError ("option-unknown") unless the value is legal. `where` names the function and the option. */
export function requireOneOf(where: string, value: unknown, legal: readonly unknown[]): void {
  if (legal.includes(value)) return;
  throw new OptionError("option-unknown", `${where} ${shown(value)} does not exist; give ${legal.join(", ")}`);
}
