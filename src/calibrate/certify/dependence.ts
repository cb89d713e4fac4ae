/**
 * Signs that test documents depend on each other, in their losses: by the groups that documents name, otherwise by
 * their order as given and by clusters of shared passages (record/find-kin.ts). Nothing is said unless a permutation
 * test finds one: estimates alone exceed 1.5 in two of five independent samples. No part of the claim.
 */
import { clusterTest, exchangeabilityTest } from "../../risk/exchangeability.js";
import { holm } from "../../risk/multiple-tests.js";
import { classesIn, type Evidence } from "../record/evidence.js";

export interface Dependence {
  /** Estimated factor by which it inflates the variance of the mean loss; 1: none. */
  readonly designEffect: number;
  /** groups: that documents name. order: neighbours. passages: documents that share some. */
  readonly basis: "groups" | "order" | "passages";
  /** The chance of losses that look so dependent if they are not. */
  readonly pValue: number;
}

/** The share of samples of independent documents of which a dependence is said. */
const FALSE_ALARMS = 0.01;

/** In [0, 1], whatever the loss: all that is said of dependence stays the same. */
export function halved(losses: readonly number[]): number[] {
  return losses.map((loss) => (1 + loss) / 2);
}

/**
 * Takes the loss of each class of copies in the test. Texts of the model's own are independent draws after their
 * prompts, so only groups that these name can make them depend on each other.
 */
export function dependenceOf(evidence: Evidence, given: readonly number[]): Dependence | null {
  const losses = halved(given);
  if (evidence.unit === "group") return null;
  const tested = classesIn(evidence).flatMap(([leader]) => (leader!.tested ? leader! : []));
  const found: Dependence[] = [];
  const add = (basis: Dependence["basis"], { pValue, designEffect }: ReturnType<typeof clusterTest>): void => {
    if (designEffect !== null) found.push({ designEffect, basis, pValue });
  };
  if (tested.some(({ group }) => group !== undefined)) {
    add(
      "groups",
      clusterTest(
        losses,
        tested.map(({ group, hash }) => group ?? hash),
      ),
    );
  } else if (evidence.ownText === undefined) {
    const places = [...tested.keys()].sort((a, b) => tested[a]!.place - tested[b]!.place);
    add("order", exchangeabilityTest(places.map((d) => losses[d]!)));
    add("passages", clusterTest(losses, bounded(tested.map(({ cluster, hash }) => cluster ?? hash))));
  }
  const significant = holm(
    found.map(({ pValue }) => pValue),
    FALSE_ALARMS,
  ).map((i) => found[i]!);
  const [largest] = significant.toSorted((a, b) => b.designEffect - a.designEffect);
  return largest === undefined || largest.designEffect <= 1 ? null : largest; // neighbours unlike each other do no harm
}

/**
 * Dissolves clusters of more than a tenth of the documents: such are texts of one kind, with a common opening, and no
 * draws of one source. A kind may be harder than others without any dependence.
 */
function bounded(clusters: readonly string[]): (string | number)[] {
  const sizes = new Map<string, number>();
  for (const one of clusters) sizes.set(one, (sizes.get(one) ?? 0) + 1);
  return clusters.map((one, d) => (sizes.get(one)! > clusters.length / 10 ? d : one));
}
