package khaywe.peer;

import java.time.Instant;
import java.time.LocalDate;

/** ISO 8601 in UTC to milliseconds and back, without a formatter: there are two to ten of them an event. */
final class Times {

    private int day = Integer.MIN_VALUE;
    private String date = "";

    /** `2026-01-01T00:02:47Z` or `2026-01-01T00:02:47.000Z`; anything else as `Instant` reads it. */
    static long parse(String text) {
        int length = text.length();
        boolean plain = length == 20 || length == 24 && text.charAt(19) == '.';
        if (!plain || text.charAt(10) != 'T' || text.charAt(length - 1) != 'Z') {
            return Instant.parse(text).toEpochMilli();
        }
        long day = LocalDate.of(number(text, 0, 4), number(text, 5, 7), number(text, 8, 10)).toEpochDay();
        int seconds = (number(text, 11, 13) * 60 + number(text, 14, 16)) * 60 + number(text, 17, 19);
        return day * Customer.DAY_MS + seconds * 1000L + (length == 24 ? number(text, 20, 23) : 0);
    }

    private static int number(String text, int from, int to) {
        return Integer.parseInt(text, from, to, 10);
    }

    /** With milliseconds. */
    String iso(long ms) {
        int of = Customer.dayOf(ms);
        if (of != day) {
            day = of;
            date = LocalDate.ofEpochDay(of).toString();
        }
        int rest = (int) (ms - of * Customer.DAY_MS);
        char[] text = new char[24];
        date.getChars(0, 10, text, 0);
        text[10] = 'T';
        digits(text, 11, rest / 3_600_000, 2);
        text[13] = ':';
        digits(text, 14, rest / 60_000 % 60, 2);
        text[16] = ':';
        digits(text, 17, rest / 1000 % 60, 2);
        text[19] = '.';
        digits(text, 20, rest % 1000, 3);
        text[23] = 'Z';
        return new String(text);
    }

    private static void digits(char[] text, int at, int number, int width) {
        for (int n = at + width - 1; n >= at; n--) {
            text[n] = (char) ('0' + number % 10);
            number /= 10;
        }
    }
}
