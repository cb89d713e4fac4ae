/**
 * Dates for chat templates: the directives of C's strftime that occur there, in local time and with English names, as
 * transformers writes them. An unknown directive stays as it is.
 */
const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];
const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/** Formats a date: `formatDate(date, "%d %b %Y")` is "26 Jul 2024". */
export function formatDate(date: Date, format: string): string {
  return format.replace(/%[a-zA-Z%]/g, (directive) => written(date, directive) ?? directive);
}

function written(date: Date, directive: string): string | undefined {
  switch (directive) {
    case "%Y":
      return String(date.getFullYear());
    case "%y":
      return twoDigits(date.getFullYear() % 100);
    case "%m":
      return twoDigits(date.getMonth() + 1);
    case "%B":
      return MONTHS[date.getMonth()];
    case "%b":
      return MONTHS[date.getMonth()]?.slice(0, 3);
    case "%d":
      return twoDigits(date.getDate());
    case "%A":
      return DAYS[date.getDay()];
    case "%a":
      return DAYS[date.getDay()]?.slice(0, 3);
    case "%H":
      return twoDigits(date.getHours());
    case "%I":
      return twoDigits(date.getHours() % 12 === 0 ? 12 : date.getHours() % 12);
    case "%M":
      return twoDigits(date.getMinutes());
    case "%S":
      return twoDigits(date.getSeconds());
    case "%p":
      return date.getHours() < 12 ? "AM" : "PM";
    case "%%":
      return "%";
    default:
      return undefined;
  }
}

function twoDigits(value: number): string {
  return String(value).padStart(2, "0");
}
