/** What other kernels use of the products with integer weights. */
export { constants, DOT, dot, dotPair, EXACT, ONES, PAIRS, probeDots, setWay } from "./dots.as";
export { integersAt, integerWorkBytes, linearIntegers, quantizedBytes, quantizeIntegers } from "./linear.as";
export { integerValue, integerValues, packIntegers } from "./pack.as";
export { roundBytes } from "./round.as";
