/** Exits that come with the page for models that have none beside them; found by the model's hash. */
import type { ExitHeads, Model } from "early-exits";
import { readHeads, readJson } from "early-exits/browser";

/** The list of such exits. Written by lab/playground-data.ts. */
export interface ExitsIndex {
  readonly format: "early-exits/exits-index";
  readonly version: 1;
  readonly exits: readonly {
    /** The model's name, for people. */
    readonly name: string;
    readonly modelHash: string;
    /** The folder with heads and points.json, relative to the list. */
    readonly folder: string;
  }[];
}

export interface ShippedExits {
  readonly heads: ExitHeads;
  /** The URL of their folder. */
  readonly url: string;
}

/** The exits for a model; undefined if there are none, or no network to fetch them. */
export async function shippedExits(index: string, model: Model): Promise<ShippedExits | undefined> {
  const list = (await readJson(index).catch(() => undefined)) as ExitsIndex | undefined;
  if (list === undefined) return undefined;
  const hash = await model.hash();
  const found = list.exits.find(({ modelHash }) => modelHash === hash);
  if (found === undefined) return undefined;
  const url = new URL(found.folder, index).href;
  return { heads: await readHeads(url, model), url };
}
