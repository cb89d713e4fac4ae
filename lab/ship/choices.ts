/**
 * Calibration segments that choices are made on (lab/study.ts): where exits go, how heads are taught and stored.
 * They are the first of `sampleSegments`, spread over the speeches. What ships is certified on others
 * (lab/ship.ts).
 */
export const CHOICE_SEGMENTS = 400;
