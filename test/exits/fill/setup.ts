/** Small models of every family with a head at every depth, and learned keys and values fitted to them. */
import { attachHeads, type ExitHeads, fitProjections, type Model } from "early-exits";
import { createReferenceDevice } from "early-exits/tensor";
import { randomIds, smallConfigs, smallModel } from "../../support/models.js";

export interface FillSetup {
  readonly model: Model;
  readonly heads: ExitHeads;
}

export const device = createReferenceDevice();

/** Text on which the learned keys and values are fitted. */
export const documents = Array.from({ length: 24 }, (_, i) => randomIds(32, 61, 100 + i));

/** Names of the small models. */
export const names = Object.keys(smallConfigs);

const setups = new Map<string, Promise<FillSetup>>();

/** Makes the model and heads of a name, once. */
export function setup(name: string): Promise<FillSetup> {
  const made = setups.get(name) ?? makeSetup(name);
  setups.set(name, made);
  return made;
}

async function makeSetup(name: string): Promise<FillSetup> {
  const model = await smallModel({ config: smallConfigs[name]!, device });
  const heads = attachHeads(model, { exits: [1, 2, 3, 4], kind: "linear" });
  await fitProjections(heads, documents, { sequenceLength: 32 });
  return { model, heads };
}
