/** Small models of every family with a head at every depth, and learned keys and values fitted to them. */
import { fitProjections } from "early-exits";
import { sharedWasm } from "../../support/devices.js";
import { once, randomDocuments, smallConfigs, smallHeads } from "../../support/models.js";

export const device = await sharedWasm();

/** Text on which the learned keys and values are fitted. */
export const documents = randomDocuments(24, 32, 100);

/** Names of the small models. */
export const names = Object.keys(smallConfigs);

/** Makes the model and heads of a name, once. */
export const setup = once(async (name: string) => {
  const heads = await smallHeads({ exits: [1, 2, 3, 4] }, { config: smallConfigs[name]!, device });
  await fitProjections(heads, documents, { sequenceLength: 32 });
  return { model: heads.model, heads };
});
