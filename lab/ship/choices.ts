/**
 * The number of calibration segments on which choices are made: where exits go, and how heads are taught and stored.
 * They are the first that `sampleSegments` returns. The model that ships is certified on others (lab/ship.ts).
 */
export const CHOICE_SEGMENTS = 400;
