/** The library's version, as written into reports and certificates; a test compares it with package.json. */
export const libraryVersion = "0.1.0";
