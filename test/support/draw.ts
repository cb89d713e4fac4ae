/** Numbers that properties draw. */
import fc from "fast-check";
import type { Threshold } from "early-exits/exits";

/** The values of an arbitrary. */
export type Drawn<A> = A extends fc.Arbitrary<infer Value> ? Value : never;

/** An integer in [min, max]. */
export const between = (min: number, max: number) => fc.integer({ min, max });

/** A double in [min, max]. */
export const real = (min: number, max: number) => fc.double({ min, max, noNaN: true });

/** A threshold: none, one that always fires, or one in [0, max]. */
export const threshold = (max: number) =>
  fc.oneof(fc.constant<Threshold>("never"), fc.constant<Threshold>("always"), real(0, max));
