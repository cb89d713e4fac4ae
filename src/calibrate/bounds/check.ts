/** Parts that bounds share: a check of arguments, and the inversion of a test. */
import { requireNumber } from "../../errors.js";

/** Throws an OptionError unless an error probability or a level of risk lies in (0, 1). */
export function requireInside(name: string, value: number): void {
  requireNumber(name, value, 0, 1, { open: true });
}

/** The smallest number in [0, 1] with a monotone property, which 1 has: bisected to adjacent floats. */
export function smallest(holds: (value: number) => boolean): number {
  let low = 0;
  let high = 1;
  for (;;) {
    const middle = (low + high) / 2;
    if (middle <= low || middle >= high) return high;
    if (holds(middle)) high = middle;
    else low = middle;
  }
}
