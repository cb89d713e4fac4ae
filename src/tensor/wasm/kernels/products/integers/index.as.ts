/** What other kernels use of the products with integer weights. */
export { probeDots, setWay } from "./dots.as";
export { integersAt, integerWorkBytes, linearIntegers, quantizedBytes, quantizeIntegers } from "./linear.as";
export { integerValue, integerValues, packIntegers } from "./pack.as";
