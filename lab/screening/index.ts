/** Screened decoding beside decoding with the full unembedding. */
export { type ScreeningOptions, type ScreeningTiming, timeScreening } from "./time-screening.js";
