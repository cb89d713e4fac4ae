/**
 * The cost of a certified policy on another machine than the certificate's: from the tokens that left at each exit in
 * the test, and unit times measured here. The claim does not depend on it, but which certificate at a level is cheapest
 * does: a fill that runs skipped blocks later (`lazy`) costs the time of further rows, and one that does not
 * (`project`) lets fewer tokens leave.
 */
import type { UnitTimes } from "../exits/cost/unit-times.js";
import type { FillName } from "../exits/fill/fill.js";
import type { Certificate } from "./certificate/certificate.js";
import { timedCosts } from "./record/subject.js";

/** Milliseconds of a token, by unit times measured with the policy's fill (`measureUnitTimes`). */
export function tokenTime({ policy, numLayers, measured }: Certificate, times: UnitTimes): number {
  const { fill, exits } = policy;
  const blocks = { depths: exits.map(({ depth }) => depth), numLayers };
  const { reach, head, full } = timedCosts(blocks, fill, times);
  let staying = measured.positions;
  let time = 0;
  for (const [exit, { threshold }] of exits.entries()) {
    if (threshold === "never") continue;
    const { left } = measured.exits[exit]!;
    time += staying * head[exit]! + left * reach[exit]!;
    staying -= left;
  }
  return (time + staying * full) / measured.positions;
}

/**
 * Of some certificates for these heads, the one whose policy takes the least time here: make them with as many
 * `choices`, because the promise that is left is that all of them hold. `measure` gives the unit times with a fill; it
 * is called once for each, and not at all without a choice.
 */
export async function fastestCertificate(
  certificates: readonly [Certificate, ...Certificate[]],
  measure: (fill: FillName) => Promise<UnitTimes>,
): Promise<Certificate> {
  const [first, ...others] = certificates;
  if (others.length === 0) return first;
  const times = new Map<FillName, UnitTimes>();
  let best = { certificate: first, time: Infinity };
  for (const certificate of certificates) {
    const { fill } = certificate.policy;
    const own = times.get(fill) ?? (await measure(fill));
    times.set(fill, own);
    const time = tokenTime(certificate, own);
    if (time < best.time) best = { certificate, time };
  }
  return best.certificate;
}
