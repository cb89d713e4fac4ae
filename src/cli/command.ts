/**
 * What a command declares: its name, arguments, options, defaults, examples, and the function that runs it. program.ts
 * turns the declaration into a commander command. A default is stated once, in `defaults`: the help prints it from
 * there, and `run` takes it from there with `withDefaults` (or leaves it to the library function that owns it).
 */
import type { Io } from "./io.js";

export interface CommandDefinition<Settings = never> {
  readonly name: string;
  readonly description: string;
  /** Positional arguments in order; "<dir>" becomes the setting `dir`. */
  readonly positional?: readonly { readonly syntax: string; readonly description: string }[];
  readonly options: readonly OptionDefinition[];
  /** By the name of the setting: --max-new-tokens is `maxNewTokens`. */
  readonly defaults: Defaults;
  /** Command lines, without the name of the program. */
  readonly examples: readonly string[];
  readonly run: (settings: Settings, io: Io) => Promise<unknown>;
}

export interface OptionDefinition {
  /** "--steps <n>", as commander writes them. */
  readonly flags: string;
  /** Says nothing about the default. */
  readonly description: string;
  /** Turns the text into a value; throws commander's InvalidArgumentError. */
  readonly parse?: (text: string) => unknown;
  readonly choices?: readonly string[];
  readonly required?: boolean;
  /** What the default depends on; the help prints it after the value, or in place of one. */
  readonly defaultNote?: string;
}

/** Values that a help text can print. */
export type Defaults = Readonly<Record<string, string | number>>;

/** Settings whose missing values are filled in. */
export type WithDefaults<D, S> = Omit<S, keyof D> & {
  readonly [Key in keyof D]: Key extends keyof S ? Exclude<S[Key], undefined> : D[Key];
};

/** Fills in the defaults for settings that are missing or undefined. */
export function withDefaults<D extends object, S extends object>(defaults: D, settings: S): WithDefaults<D, S> {
  const given = Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
  return { ...defaults, ...given } as WithDefaults<D, S>;
}

/** The description with the default, as the help prints it. */
export function describeOption(
  { description, defaultNote }: OptionDefinition,
  value: string | number | undefined,
): string {
  const parts = [value === undefined ? undefined : String(value), defaultNote].filter((part) => part !== undefined);
  return parts.length === 0 ? description : `${description} (default: ${parts.join("; ")})`;
}
