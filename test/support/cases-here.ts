/**
 * Returns the number of random cases of a law: all of them where LAWS is "full" (`npm run test:laws`, and .ci/run),
 * otherwise a tenth.
 */
export function casesHere(all: number) {
  return process.env["LAWS"] === "full" ? all : Math.ceil(all / 10);
}
