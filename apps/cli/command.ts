/**
 * A command's declaration, from which program.ts makes a commander command. A default is stated once, in `defaults`:
 * the help and `run` (through `withDefaults`) take it from there, or the library function owns it.
 */
import type { CommonOptions, Io } from "./io.js";

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
  /** States no default. */
  readonly description: string;
  /** Turns the text into a value; throws commander's InvalidArgumentError. */
  readonly parse?: (text: string) => unknown;
  readonly choices?: readonly string[];
  readonly required?: boolean;
  /** Printed after the default, or in place of one. */
  readonly defaultNote?: string;
}

/** The settings that options declare, by name: --max-new-tokens <n> is `maxNewTokens`. */
export type SettingsOf<Options extends readonly OptionDefinition[], Positional extends string = never> = CommonOptions &
  Readonly<Record<Positional, string>> & {
    readonly [O in Options[number] as O extends Required ? NameOf<O["flags"]> : never]: ValueOf<O>;
  } & {
    readonly [O in Options[number] as O extends Required ? never : NameOf<O["flags"]>]?: ValueOf<O> | undefined;
  };

interface Required extends OptionDefinition {
  readonly required: true;
}

type NameOf<Flags extends string> = Flags extends `--${infer Name} ${string}`
  ? Camel<Name>
  : Flags extends `--no-${infer Name}` | `--${infer Name}`
    ? Camel<Name>
    : never;

type Camel<Name extends string> = Name extends `${infer Head}-${infer Tail}`
  ? `${Head}${Capitalize<Camel<Tail>>}`
  : Name;

/** An option whose value is optional is `true` without one. */
type ValueOf<O extends OptionDefinition> =
  | (O["flags"] extends `${string} [${string}` ? true : never)
  | (O extends { readonly parse: (text: string) => infer Value }
      ? Value
      : O extends { readonly choices: readonly (infer Choice)[] }
        ? Choice
        : O["flags"] extends `${string}...>`
          ? readonly string[]
          : O["flags"] extends `${string} <${string}`
            ? string
            : boolean);

export type Defaults = Readonly<Record<string, string | number>>;

type WithDefaults<D, S> = Omit<S, keyof D> & {
  readonly [Key in keyof D]: Key extends keyof S ? Exclude<S[Key], undefined> : D[Key];
};

export function withDefaults<D extends object, S extends object>(defaults: D, settings: S): WithDefaults<D, S> {
  return { ...defaults, ...given(settings) } as unknown as WithDefaults<D, S>;
}

/** The same without what is undefined. */
export function given<T extends object>(values: T): { readonly [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as T;
}

export function describeOption(
  { description, defaultNote }: OptionDefinition,
  value: string | number | undefined,
): string {
  const parts = [value === undefined ? undefined : String(value), defaultNote].filter((part) => part !== undefined);
  return parts.length === 0 ? description : `${description} (default: ${parts.join("; ")})`;
}
