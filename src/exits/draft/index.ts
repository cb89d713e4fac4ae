/** Lossless decoding: drafting with exits, verification by the full model, and plans of how long to draft. */
export type { AcceptanceClass, DraftAcceptance } from "./draft-gain.js";
export { type DraftLengthOptions, draftPlans } from "./draft-length.js";
export { type Draft, draftCost, type DraftPlan } from "./draft-plan.js";
export { promptLookupDrafter, type PromptLookupOptions } from "./prompt-lookup.js";
export { acceptance } from "./rejection.js";
export { type Drafter, firstOf, losslessDecoder } from "./speculate.js";
