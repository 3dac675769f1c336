package khaywe.peer;

import java.nio.charset.StandardCharsets;
import java.util.Comparator;

/**
 * The whole game for a customer who calls, texts and goes online.
 *
 * It covers what voice_call, sms and data_session can cause with the seed's rules, and nothing else: no app, money or
 * profile events, so no debts, refunds, control group, capped templates or predictions.  docs/game.md says what is to
 * be done; counters that such events would move stand at their first values.
 */
final class Game {

    private static final int COMEBACK_DAYS = 30, ONBOARDING = 2;
    private static final long ACTIVE_30 = (1L << 30) - 1, ACTIVE_90_HIGH = (1L << 26) - 1;

    private final Rules rules;
    final Effects effects;
    private final Rewards rewards;
    private final double[] features;
    private final double[] measures = new double[Rules.MEASURES.size()];
    private final double[] value = new double[1];
    private final int[] scores = new int[5];

    Game(Rules rules) {
        this.rules = rules;
        this.effects = new Effects(rules);
        this.rewards = new Rewards(rules, effects);
        this.features = rules.initial.clone();
    }

    /** Fold an event into its customer (null: not known yet); the customer, null where nothing changed. */
    Customer fold(Customer known, String customerId, Event event) {
        effects.begin(customerId);
        Customer c = known;
        long at = event.at();
        long hash = Customer.hash64((event.source() + '\0' + event.eventId()).getBytes(StandardCharsets.UTF_8));
        if (c == null) {
            c = Customer.opened(customerId, at, rules.badges.length);
            c.remember(hash);
        } else {
            if (!c.remember(hash)) {
                return null;
            }
            if (c.due <= at) {
                catchUp(c, at);
            }
            c.moveTo(at);
        }
        effects.cause(event.source(), event.eventId());
        long amount = event.amount();
        count(c, event.kind(), amount, at);
        score(c);
        features(c);
        progress(c, event, amount);
        rewards.checkBadges(c, features);
        generate(c);
        rewards.checkTier(c);
        c.plan();
        publishMoved(c);
        return c;
    }

    private void count(Customer c, int kind, long amount, long at) {
        int day = Customer.dayOf(at);
        boolean recent = day > c.day - Customer.WINDOW;
        if (kind == Rules.VOICE) {
            c.lifetime[Customer.CALLS]++;
            c.lifetime[Customer.SECONDS] += amount;
            if (recent) {
                c.add(day, Customer.CALLS, 1);
                c.add(day, Customer.SECONDS, amount);
            }
        } else {
            int which = kind == Rules.SMS ? Customer.MESSAGES : Customer.KB;
            c.lifetime[which] += amount;
            if (recent) {
                c.add(day, which, amount);
            }
        }
        c.counts[kind] = Math.min(c.counts[kind] + 1, Customer.U2);
        if (c.lastActivity != 0) {
            int absence = day - Customer.dayOf(c.lastActivity);
            if (absence >= COMEBACK_DAYS) {
                c.comebacks = Math.min(c.comebacks + 1, Customer.U2);
                c.longestAbsence = Math.max(c.longestAbsence, Math.min(absence, Customer.U2));
            }
        }
        c.lastActivity = Math.max(c.lastActivity, at);
        c.firstEvent = Math.min(c.firstEvent, at);
        int weeks = Customer.weekOf(c.day) - Customer.weekOf(day), days = c.day - day;
        if (weeks < 32) {
            c.weeks |= 1 << weeks;
        }
        if (days < 64) {
            c.activeLow |= 1L << days;
        } else if (days < 128) {
            c.activeHigh |= 1L << days - 64;
        }
    }

    // Time.

    /** Do all that was due by a time, in the order of its time; missed refreshes as one. */
    private void catchUp(Customer c, long t) {
        while (c.due <= t) {
            long refresh = c.nextRefresh <= t ? c.lastRefresh(t) : Customer.NEVER, settles = Customer.NEVER;
            int slot = -1;
            for (int n = 0; n < Customer.SLOTS; n++) {
                if (c.missions[n] != null && c.missions[n].settles < settles) {
                    settles = c.missions[n].settles;
                    slot = n;
                }
            }
            long at = Math.min(settles, refresh);
            c.moveTo(at);
            if (settles == at) {
                effects.cause("khaywe", "settle:" + effects.iso(at));
                settle(c, slot);
            } else {
                effects.cause("khaywe", "refresh:" + effects.iso(at));
                refresh(c);
                c.refreshed(at);
            }
            c.plan();
        }
    }

    private void refresh(Customer c) {
        score(c);
        features(c);
        rewards.expireLots(c);
        if (!c.offers.isEmpty()) {
            rewards.repeatOpen(c);
        }
        rewards.checkBadges(c, features);
        generate(c);
        rewards.checkTier(c);
        publish(c, "refresh");
    }

    private void settle(Customer c, int slot) {
        Customer.Mission mission = c.missions[slot];
        Rules.Template template = rules.byNumber[mission.template];
        boolean stayed = template.goal() == Rules.Goal.INACTIVITY
            && mission.target - reached(mission.marks, template.gap()) <= template.gap();
        if (stayed) {
            mission.progress = mission.target;
            complete(c, slot, template);
        } else {
            c.missions[slot] = null;
            effects.mission(c, mission, template, "expired", "");
            cool(c, template, 0);
        }
    }

    // Scores and features.

    private void score(Customer c) {
        measures[0] = c.last30[Customer.CALLS];
        measures[1] = c.last30[Customer.KB] / 1024.0;
        measures[2] = c.last30[Customer.MESSAGES];
        measures[3] = c.lastActivity == 0 ? 0 : Math.max(0, 30 - (c.day - Customer.dayOf(c.lastActivity)));
        measures[4] = Math.max(0, c.day - Customer.dayOf(c.firstEvent));
        measures[5] = Integer.bitCount(c.weeks & 0xfff) / 12.0;
        for (int n = 0; n < scores.length; n++) {
            double sum = 0;
            for (Rules.Component part : rules.scores[n]) {
                sum += part.weight() * Math.min(Math.max(measures[part.measure()] / part.fullAt(), 0), 1);
            }
            scores[n] = (int) Math.rint(sum * 100);
        }
    }

    private void features(Customer c) {
        double[] f = features;
        for (int n = 0; n < scores.length; n++) {
            f[n] = scores[n] / 100.0;
        }
        f[5] = c.last30[Customer.CALLS];
        f[6] = c.last30[Customer.SECONDS];
        f[7] = c.last30[Customer.KB] / 1024.0;
        f[8] = c.last30[Customer.MESSAGES];
        f[9] = c.lifetime[Customer.CALLS];
        f[10] = c.lifetime[Customer.SECONDS];
        f[11] = c.lifetime[Customer.KB] / 1024.0;
        f[12] = c.lifetime[Customer.MESSAGES];
        f[13] = c.counts[Rules.VOICE];
        f[14] = c.counts[Rules.SMS];
        f[15] = c.counts[Rules.DATA];
        f[16] = Math.max(0, c.day - Customer.dayOf(c.firstEvent));
        f[17] = c.lastActivity == 0 ? Double.NaN : Math.max(0, c.day - Customer.dayOf(c.lastActivity));
        f[18] = Long.bitCount(c.activeLow & ACTIVE_30);
        f[19] = Long.bitCount(c.activeLow) + Long.bitCount(c.activeHigh & ACTIVE_90_HIGH);
        f[20] = streak(c);
        f[21] = Integer.bitCount(c.weeks & 0xfff);
        f[22] = c.comebacks;
        f[23] = c.longestAbsence;
        f[24] = c.balance();
        f[25] = c.yearPoints;
        f[26] = c.pointsEarned;
        f[27] = c.tier;
        f[28] = c.missionsCompleted;
        int running = 0;
        for (Customer.Mission mission : c.missions) {
            running += mission == null ? 0 : 1;
        }
        f[29] = running;
        f[30] = c.badgesHeld();
    }

    private static int streak(Customer c) {
        long low = c.activeLow, high = c.activeHigh;
        if ((low & 1) == 0) {
            low = low >>> 1 | high << 63;
            high >>>= 1;
        }
        int days = Long.numberOfTrailingZeros(~low);
        return days < 64 ? days : 64 + Long.numberOfTrailingZeros(~high);
    }

    private void publishMoved(Customer c) {
        boolean moved = false, crossed = false;
        for (int n = 0; n < scores.length; n++) {
            int now = scores[n], before = c.published[n];
            if (now != before) {
                moved |= Math.abs(now - before) >= rules.step;
                for (double band : rules.bands) {
                    crossed |= now >= band != before >= band;
                }
            }
        }
        if (moved || crossed) {
            publish(c, moved ? "moved" : "band");
        }
    }

    private void publish(Customer c, String reason) {
        System.arraycopy(scores, 0, c.published, 0, scores.length);
        effects.scores(c, reason);
    }

    // Missions.

    private void progress(Customer c, Event event, long amount) {
        int kind = event.kind();
        long at = event.at();
        for (int slot = 0; slot < Customer.SLOTS; slot++) {
            Customer.Mission mission = c.missions[slot];
            if (mission == null || at < mission.started * 1000 || at >= mission.ends * 1000) {
                continue;
            }
            Rules.Template template = rules.byNumber[mission.template];
            if (!template.has(kind)) {
                continue;
            }
            if (template.where() != null) {
                value[0] = kind == Rules.DATA ? amount / 1024.0 : amount;
                if (!template.where().holds(value)) {
                    continue;
                }
            }
            int day = Customer.dayOf(at), began = Customer.dayOf(mission.started * 1000);
            switch (template.goal()) {
                case COUNT, FIRST -> mission.progress = Math.min(mission.progress + 1, Customer.U4);
                case SUM -> mission.progress = Math.min(mission.progress + amount, Customer.U4);
                case DISTINCT -> {
                    mission.marks |= 1L << kind;
                    mission.progress = Long.bitCount(mission.marks);
                }
                case DAYS -> {
                    mission.marks |= 1L << day - began;
                    mission.progress = longestRun(mission.marks);
                }
                case WEEKS -> {
                    mission.marks |= 1L << Customer.weekOf(day) - Customer.weekOf(began);
                    mission.progress = longestRun(mission.marks);
                }
                case INACTIVITY -> {
                    mission.marks |= 1L << day - began;
                    mission.progress = reached(mission.marks, template.gap());
                }
                case SHARE -> throw new IllegalStateException("no call is a payment");
            }
            if (template.goal() != Rules.Goal.INACTIVITY && mission.progress >= mission.target) {
                complete(c, slot, template);
                continue;
            }
            int tenths = (int) Math.min(9, mission.progress * 10 / mission.target);
            if (tenths > mission.tenths) {
                mission.tenths = tenths;
                effects.mission(c, mission, template, "progress", "");
            }
        }
    }

    private void complete(Customer c, int slot, Rules.Template template) {
        Customer.Mission mission = c.missions[slot];
        c.missions[slot] = null;
        cool(c, template, 1);
        c.completed[template.number() >> 6] |= 1L << template.number();
        c.missionsCompleted = Math.min(c.missionsCompleted + 1, Customer.U2);
        effects.mission(c, mission, template, "completed", "");
        double progress = (double) mission.progress / template.scale();
        double target = (double) mission.target / template.scale();
        Rules.Rewards given = template.rewards();
        rewards.reward(c, given, "mission:" + template.number(), template.name(), Effects.enough(progress, target));
        int place = given.badge() < 0 ? -1 : rules.badgePlace[given.badge()];
        while (place >= 0 && c.badges[place] < given.level()) {
            rewards.award(c, place, "reward", Effects.NONE);
        }
    }

    private void cool(Customer c, Rules.Template template, int completed) {
        int until = Math.min(c.day + template.cooldownDays(), Customer.U2);
        int place = cooling(c, template.number()), times = 0;
        if (place >= 0) {
            times = c.coolingTimes[place];
        }
        for (int n = 0; place < 0 && n < c.cooling; n++) {
            place = reusable(c, n) ? n : -1;
        }
        if (place < 0 && c.cooling < Customer.COOLING) {
            place = c.cooling++;
        }
        if (place < 0) {
            place = 0;
            for (int n = 1; n < Customer.COOLING; n++) {
                place = c.coolingUntil[n] < c.coolingUntil[place] ? n : place;
            }
        }
        c.coolingTemplate[place] = template.number();
        c.coolingUntil[place] = until;
        c.coolingTimes[place] = Math.min(times + completed, Customer.U2);
    }

    private static int cooling(Customer c, int template) {
        for (int n = 0; n < c.cooling; n++) {
            if (c.coolingTemplate[n] == template) {
                return n;
            }
        }
        return -1;
    }

    private boolean reusable(Customer c, int place) {
        Rules.Template template = rules.byNumber[c.coolingTemplate[place]];
        return c.coolingUntil[place] <= c.day && (template == null || template.perCustomer() == 0);
    }

    private void generate(Customer c) {
        int free = free(c), replaced = -1;
        if (free < 0 && (replaced = lowest(c)) < 0) {
            return;
        }
        boolean room = c.cooling < Customer.COOLING;
        for (int n = 0; !room && n < c.cooling; n++) {
            room = reusable(c, n);
        }
        if (!room) {
            return;
        }
        int onboarding = 0;
        for (Customer.Mission mission : c.missions) {
            onboarding += mission != null && rules.byNumber[mission.template].onboarding() ? 1 : 0;
        }
        for (Rules.Template template : rules.templates) {
            Rules.Template old = replaced < 0 ? null : rules.byNumber[c.missions[replaced].template];
            if (old != null && old.priority() >= template.priority()) {
                return; // those that follow have lower priorities still
            }
            if (!possible(c, template, onboarding) || !template.eligibility().holds(features)) {
                continue;
            }
            int slot = free;
            if (old != null) {
                slot = replaced;
                Customer.Mission gone = c.missions[slot];
                c.missions[slot] = null;
                effects.mission(c, gone, old, "replaced", "priority");
                cool(c, old, 0);
                c.replacedDay = c.day;
                onboarding -= old.onboarding() ? 1 : 0;
            }
            give(c, slot, template);
            onboarding += template.onboarding() ? 1 : 0;
            free = free(c);
            if (free < 0 && (replaced = lowest(c)) < 0) {
                return;
            }
        }
    }

    private static int free(Customer c) {
        for (int slot = 0; slot < Customer.SLOTS; slot++) {
            if (c.missions[slot] == null) {
                return slot;
            }
        }
        return -1;
    }

    /** The slot of the mission that can make place: lowest priority, highest number, no progress; once a day. */
    private int lowest(Customer c) {
        if (c.replacedDay == c.day) {
            return -1;
        }
        int found = -1;
        for (int slot = 0; slot < Customer.SLOTS; slot++) {
            if (c.missions[slot].progress == 0 && (found < 0 || BELOW.compare(at(c, slot), at(c, found)) < 0)) {
                found = slot;
            }
        }
        return found;
    }

    private static final Comparator<Rules.Template> BELOW = Comparator.comparingInt(Rules.Template::priority)
        .thenComparing(Comparator.comparingInt(Rules.Template::number).reversed());

    private Rules.Template at(Customer c, int slot) {
        return rules.byNumber[c.missions[slot].template];
    }

    private static boolean possible(Customer c, Rules.Template template, int onboarding) {
        if (template.onboarding() && onboarding >= ONBOARDING) {
            return false;
        }
        for (Customer.Mission mission : c.missions) {
            if (mission != null && mission.template == template.number()) {
                return false;
            }
        }
        int place = cooling(c, template.number());
        if (place >= 0) {
            boolean often = template.perCustomer() > 0 && template.perCustomer() <= c.coolingTimes[place];
            if (c.coolingUntil[place] > c.day || often) {
                return false;
            }
        }
        for (int number : template.after()) {
            if (!c.hasCompleted(number)) {
                return false;
            }
        }
        if (template.goal() == Rules.Goal.FIRST) {
            for (int kind = 0; kind < c.counts.length; kind++) {
                if (template.has(kind) && c.counts[kind] > 0) {
                    return false;
                }
            }
        }
        return true;
    }

    private void give(Customer c, int slot, Rules.Template template) {
        Customer.Mission mission = new Customer.Mission();
        mission.template = template.number();
        mission.started = Math.floorDiv(c.asOf, 1000);
        mission.ends = mission.started + template.durationDays() * 86_400L;
        mission.settles = mission.ends * 1000 + rules.graceMs;
        mission.target = template.aim(features);
        c.missions[slot] = mission;
        effects.mission(c, mission, template, "given", "");
        String rule = "mission:" + template.number();
        Effects.Why why = Effects.seen(template.asked(), features);
        effects.decision(c, rule + ":given", "mission", "given", rule, template.name(), why);
    }

    private static int longestRun(long marks) {
        int length = 0;
        for (; marks != 0; length++) {
            marks &= marks >>> 1;
        }
        return length;
    }

    /** Days from the start that no absence longer than `gap` interrupts. */
    private static int reached(long marks, int gap) {
        int days = 0;
        for (; marks != 0; marks &= marks - 1) {
            int bit = Long.numberOfTrailingZeros(marks);
            if (bit - days > gap) {
                break;
            }
            days = bit + 1;
        }
        return days;
    }
}
