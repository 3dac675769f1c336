package khaywe.peer;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.List;

/** What is kept of a customer, and the bytes it is stored as.  Times are ms unless said, days count from 1970. */
final class Customer {

    static final long DAY_MS = 86_400_000, MINUTE_MS = 60_000, NEVER = Long.MAX_VALUE;
    static final int WINDOW = 30, SLOTS = 5, COOLING = 20, LOTS = 14, SEEN = 32, U2 = 65_535;
    static final long U4 = (1L << 32) - 1;
    /** Columns of `cells`. */
    static final int CALLS = 0, SECONDS = 1, KB = 2, MESSAGES = 3, CELLS = 4;
    static final long[] MOST = {U2, U2, U4, U2};

    /** A running mission; times in seconds, `settles` in ms, amounts in smallest units. */
    static final class Mission {
        int template, tenths;
        long started, ends, settles, target, progress;
        /** Days or weeks since the start, or kinds of events, a bit each. */
        long marks;
    }

    /** An offer that nobody has answered for yet. */
    static final class Offer {
        String grantId, rule;
        int offer, repeats;
        long told;
    }

    int minute;
    long asOf;
    int day, month;
    long nextRefresh, due, firstEvent, lastActivity;
    /** A row a day of the last 30, at day mod 30, and their sums. */
    final long[][] cells = new long[WINDOW][CELLS];
    final long[] last30 = new long[CELLS];
    final long[] lifetime = new long[CELLS];
    final int[] counts = new int[Rules.KINDS.length];
    /** Hashes of the last events, a ring. */
    final long[] seen = new long[SEEN];
    int seenAt;
    /** Bit k: activity k weeks, days, 64 + k days before `day`. */
    int weeks;
    long activeLow, activeHigh;
    int comebacks, longestAbsence;
    final int[] published = new int[5];
    final Mission[] missions = new Mission[SLOTS];
    int cooling;
    final int[] coolingTemplate = new int[COOLING], coolingUntil = new int[COOLING], coolingTimes = new int[COOLING];
    final long[] completed = new long[8];
    int missionsCompleted;
    final byte[] badges;
    int replacedDay;
    int lots;
    final int[] lotMonth = new int[LOTS];
    final long[] lotPoints = new long[LOTS];
    long pointsEarned, pointsExpired, yearPoints, lastYearPoints;
    int tier;
    final List<Offer> offers = new ArrayList<>(0);

    private Customer(int badges) {
        this.badges = new byte[badges];
    }

    /** A customer of whom nothing is known but that something happened at a time. */
    static Customer opened(String customerId, long at, int badges) {
        Customer c = new Customer(badges);
        c.minute = (int) Long.remainderUnsigned(hash64(customerId.getBytes(StandardCharsets.UTF_8)), 1440);
        c.asOf = c.firstEvent = at;
        c.day = dayOf(at);
        c.month = monthOf(c.day);
        c.refreshed(at);
        c.due = c.nextRefresh;
        return c;
    }

    static int dayOf(long ms) {
        return (int) Math.floorDiv(ms, DAY_MS);
    }

    static int weekOf(int day) {
        return Math.floorDiv(day + 3, 7);
    }

    private static int monthOf(int day) {
        LocalDate date = LocalDate.ofEpochDay(day);
        return (date.getYear() - 1970) * 12 + date.getMonthValue() - 1;
    }

    void moveTo(long at) {
        if (at > asOf) {
            asOf = at;
            advance(dayOf(at));
        }
    }

    /** Let days and weeks fall out of the windows. */
    private void advance(int to) {
        int passed = to - day;
        if (passed <= 0) {
            return;
        }
        int weeksPassed = weekOf(to) - weekOf(day);
        weeks = weeksPassed < 32 ? weeks << weeksPassed : 0;
        if (passed < 64) {
            activeHigh = activeHigh << passed | activeLow >>> 64 - passed;
            activeLow <<= passed;
        } else {
            activeHigh = passed < 128 ? activeLow << passed - 64 : 0;
            activeLow = 0;
        }
        for (int n = 1; n <= Math.min(passed, WINDOW); n++) {
            long[] row = cells[(day + n) % WINDOW];
            for (int which = 0; which < CELLS; which++) {
                last30[which] -= row[which];
                row[which] = 0;
            }
        }
        day = to;
        int year = month / 12;
        month = monthOf(to);
        int years = month / 12 - year;
        if (years > 0) {
            lastYearPoints = years == 1 ? yearPoints : 0;
            yearPoints = 0;
        }
    }

    /** Put an amount into a day's figure, which saturates; the day is one of the last 30. */
    void add(int ofDay, int which, long by) {
        long[] row = cells[ofDay % WINDOW];
        long now = Math.min(row[which] + by, MOST[which]);
        last30[which] += now - row[which];
        row[which] = now;
    }

    long lastRefresh(long t) {
        long at = Math.floorDiv(t, DAY_MS) * DAY_MS + minute * MINUTE_MS;
        return at <= t ? at : at - DAY_MS;
    }

    void refreshed(long at) {
        nextRefresh = lastRefresh(at) + DAY_MS;
    }

    /** When something is to be done next. */
    void plan() {
        due = nextRefresh;
        for (Mission mission : missions) {
            if (mission != null && mission.settles < due) {
                due = mission.settles;
            }
        }
    }

    boolean remember(long hash) {
        for (long each : seen) {
            if (each == hash) {
                return false;
            }
        }
        seen[seenAt] = hash;
        seenAt = (seenAt + 1) % SEEN;
        return true;
    }

    long balance() {
        long sum = 0;
        for (int n = 0; n < lots; n++) {
            sum += lotMonth[n] > month ? lotPoints[n] : 0;
        }
        return sum;
    }

    boolean hasCompleted(int template) {
        return (completed[template >> 6] >> template & 1) != 0;
    }

    int badgesHeld() {
        int sum = 0;
        for (byte level : badges) {
            sum += level;
        }
        return sum;
    }

    /** FNV-1a with splitmix64's finaliser; never 0. */
    static long hash64(byte[] data) {
        long z = 0xcbf29ce484222325L;
        for (byte each : data) {
            z = (z ^ (each & 0xff)) * 0x100000001b3L;
        }
        z ^= z >>> 30;
        z *= 0xBF58476D1CE4E5B9L;
        z ^= z >>> 27;
        z *= 0x94D049BB133111EBL;
        z ^= z >>> 31;
        return z == 0 ? 1 : z;
    }

    // As it is stored: only what is there.

    byte[] encode() {
        int size = 1_024 + 24 * WINDOW;
        for (Offer offer : offers) {
            size += 64 + 2 * (offer.grantId.length() + offer.rule.length());
        }
        ByteBuffer to = ByteBuffer.allocate(size);
        to.putShort((short) minute).putLong(asOf).putInt(day).putInt(month).putLong(nextRefresh).putLong(due);
        to.putLong(firstEvent).putLong(lastActivity);
        int daysAt = to.position(), days = 0;
        to.put((byte) 0);
        for (int n = 0; n < WINDOW; n++) {
            long[] row = cells[n];
            if ((row[0] | row[1] | row[2] | row[3]) != 0) {
                to.put((byte) n);
                to.putShort((short) row[CALLS]).putShort((short) row[SECONDS]).putInt((int) row[KB]);
                to.putShort((short) row[MESSAGES]);
                days++;
            }
        }
        to.put(daysAt, (byte) days);
        for (int n = 0; n < CELLS; n++) {
            to.putLong(lifetime[n]);
        }
        for (int count : counts) {
            to.putShort((short) count);
        }
        int events = 0;
        while (events < SEEN && seen[events] != 0) {
            events++;
        }
        to.put((byte) events).put((byte) seenAt);
        for (int n = 0; n < events; n++) {
            to.putLong(seen[n]);
        }
        to.putInt(weeks).putLong(activeLow).putLong(activeHigh);
        to.putShort((short) comebacks).putShort((short) longestAbsence);
        for (int score : published) {
            to.putShort((short) score);
        }
        for (Mission mission : missions) {
            to.putShort((short) (mission == null ? 0 : mission.template));
            if (mission != null) {
                to.putLong(mission.started).putLong(mission.ends).putLong(mission.settles).putInt((int) mission.target);
                to.putInt((int) mission.progress).put((byte) mission.tenths).putLong(mission.marks);
            }
        }
        to.put((byte) cooling);
        for (int n = 0; n < cooling; n++) {
            to.putShort((short) coolingTemplate[n]).putShort((short) coolingUntil[n]).putShort((short) coolingTimes[n]);
        }
        for (long word : completed) {
            to.putLong(word);
        }
        to.putShort((short) missionsCompleted).put(badges).putInt(replacedDay).put((byte) lots);
        for (int n = 0; n < lots; n++) {
            to.putShort((short) lotMonth[n]).putInt((int) lotPoints[n]);
        }
        to.putInt((int) pointsEarned).putInt((int) pointsExpired).putInt((int) yearPoints).putInt((int) lastYearPoints);
        to.put((byte) tier).putShort((short) offers.size());
        for (Offer offer : offers) {
            text(to, offer.grantId);
            text(to, offer.rule);
            to.putInt(offer.offer).put((byte) offer.repeats).putLong(offer.told);
        }
        byte[] found = new byte[to.position()];
        to.flip().get(found);
        return found;
    }

    static Customer decode(byte[] stored, int badges) {
        ByteBuffer from = ByteBuffer.wrap(stored);
        Customer c = new Customer(badges);
        c.minute = from.getShort();
        c.asOf = from.getLong();
        c.day = from.getInt();
        c.month = from.getInt();
        c.nextRefresh = from.getLong();
        c.due = from.getLong();
        c.firstEvent = from.getLong();
        c.lastActivity = from.getLong();
        for (int days = from.get(); days > 0; days--) {
            long[] row = c.cells[from.get()];
            row[CALLS] = from.getShort() & 0xffff;
            row[SECONDS] = from.getShort() & 0xffff;
            row[KB] = from.getInt() & U4;
            row[MESSAGES] = from.getShort() & 0xffff;
            for (int which = 0; which < CELLS; which++) {
                c.last30[which] += row[which];
            }
        }
        for (int n = 0; n < CELLS; n++) {
            c.lifetime[n] = from.getLong();
        }
        for (int n = 0; n < c.counts.length; n++) {
            c.counts[n] = from.getShort() & 0xffff;
        }
        int events = from.get();
        c.seenAt = from.get();
        for (int n = 0; n < events; n++) {
            c.seen[n] = from.getLong();
        }
        c.weeks = from.getInt();
        c.activeLow = from.getLong();
        c.activeHigh = from.getLong();
        c.comebacks = from.getShort() & 0xffff;
        c.longestAbsence = from.getShort() & 0xffff;
        for (int n = 0; n < c.published.length; n++) {
            c.published[n] = from.getShort();
        }
        for (int slot = 0; slot < SLOTS; slot++) {
            int template = from.getShort();
            if (template != 0) {
                Mission mission = c.missions[slot] = new Mission();
                mission.template = template;
                mission.started = from.getLong();
                mission.ends = from.getLong();
                mission.settles = from.getLong();
                mission.target = from.getInt() & U4;
                mission.progress = from.getInt() & U4;
                mission.tenths = from.get();
                mission.marks = from.getLong();
            }
        }
        c.cooling = from.get();
        for (int n = 0; n < c.cooling; n++) {
            c.coolingTemplate[n] = from.getShort();
            c.coolingUntil[n] = from.getShort() & 0xffff;
            c.coolingTimes[n] = from.getShort() & 0xffff;
        }
        for (int n = 0; n < c.completed.length; n++) {
            c.completed[n] = from.getLong();
        }
        c.missionsCompleted = from.getShort() & 0xffff;
        from.get(c.badges);
        c.replacedDay = from.getInt();
        c.lots = from.get();
        for (int n = 0; n < c.lots; n++) {
            c.lotMonth[n] = from.getShort();
            c.lotPoints[n] = from.getInt() & U4;
        }
        c.pointsEarned = from.getInt() & U4;
        c.pointsExpired = from.getInt() & U4;
        c.yearPoints = from.getInt() & U4;
        c.lastYearPoints = from.getInt() & U4;
        c.tier = from.get();
        for (int offers = from.getShort(); offers > 0; offers--) {
            Offer offer = new Offer();
            offer.grantId = text(from);
            offer.rule = text(from);
            offer.offer = from.getInt();
            offer.repeats = from.get();
            offer.told = from.getLong();
            c.offers.add(offer);
        }
        return c;
    }

    private static void text(ByteBuffer to, String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        to.put((byte) bytes.length).put(bytes);
    }

    private static String text(ByteBuffer from) {
        byte[] bytes = new byte[from.get()];
        from.get(bytes);
        return new String(bytes, StandardCharsets.UTF_8);
    }
}
