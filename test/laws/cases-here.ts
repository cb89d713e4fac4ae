/**
 * Returns the number of random cases of a kernel law: all of them where KERNEL_LAWS is "full" (`npm run test:kernels`
 * and .ci/run), otherwise a quarter.
 */
export function casesHere(all: number): number {
  return process.env["KERNEL_LAWS"] === "full" ? all : Math.ceil(all / 4);
}
