/** Numbers that properties draw. */
import fc from "fast-check";

/** An integer in [min, max]. */
export const between = (min: number, max: number): fc.Arbitrary<number> => fc.integer({ min, max });

/** A double in [min, max]. */
export const real = (min: number, max: number): fc.Arbitrary<number> => fc.double({ min, max, noNaN: true });
