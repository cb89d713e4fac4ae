/** Tuning of lossless drafting for time, on recorded text. */
export { type DraftingOutcome, draftsOf, playDrafting, type PlayDraftingOptions } from "./play-drafting.js";
export { type DraftingRecords, recordDrafting, type RecordDraftingOptions } from "./record-drafting.js";
export { cheapestDrafting, tuneDrafting, type TuneDraftingOptions } from "./tune-drafting.js";
export { draftingFrom, type TunedDrafting } from "./tuned-drafting.js";
