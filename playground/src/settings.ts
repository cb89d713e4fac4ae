/**
 * Content of a link to the page: the prompt, how it is written, and which model was open. It stands in the address
 * after #, which browsers do not send to servers. A link comes from anybody, so illegal values are left out, and a
 * model is only named: the reader opens it, or does not.
 */
import { modes } from "./engine/index.js";
import { type FormSettings, type PointChoice, procedures } from "./views/index.js";

export interface Settings extends FormSettings, PointChoice {
  /** The address of a model, or its name on the Hub. */
  readonly model: string;
}

const MOST_CHARACTERS = 4000;

/** Readers of the settings; undefined if a value is not legal. */
const readers: { readonly [Name in keyof Settings]: (text: string) => Settings[Name] | undefined } = {
  prompt: (text) => (text.length <= MOST_CHARACTERS ? text : undefined),
  mode: (text) => modes.find((mode) => mode === text),
  agreement: (text) => numberIn(text, 0, 1),
  procedure: (text) => procedures.find((procedure) => procedure === text),
  tokens: (text) => integerIn(text, 1, 512),
  temperature: (text) => numberIn(text, 0, 2),
  seed: (text) => integerIn(text, 0, 2 ** 31 - 1),
  model: (text) => (text.length > 0 && text.length <= 500 ? text : undefined),
};

/** The address of a page with these settings. */
export function linkTo(page: string, settings: Partial<Settings>): string {
  const { href } = new URL("#", page);
  const words = Object.entries(settings).map(([name, value]) => [name, String(value)]);
  return `${href.replace(/#$/, "")}#${new URLSearchParams(words).toString()}`;
}

/** The legal settings in an address's part after #. */
export function settingsIn(hash: string): Partial<Settings> {
  const words = new URLSearchParams(hash.replace(/^#/, ""));
  const found = Object.entries(readers).flatMap(([name, read]) => {
    const text = words.get(name);
    const value = text === null ? undefined : read(text);
    return value === undefined ? [] : [[name, value]];
  });
  return Object.fromEntries(found) as Partial<Settings>;
}

function numberIn(text: string, least: number, most: number): number | undefined {
  const value = text.trim() === "" ? NaN : Number(text);
  return value >= least && value <= most ? value : undefined;
}

function integerIn(text: string, least: number, most: number): number | undefined {
  const value = numberIn(text, least, most);
  return Number.isInteger(value) ? value : undefined;
}
