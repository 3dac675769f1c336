package khaywe.peer;

import java.util.Comparator;

/** What is given for badges and missions: points in lots, offers that wait for an answer, tiers. */
final class Rewards {

    private static final int REPEATS = 7;

    private final Rules rules;
    private final Effects effects;

    Rewards(Rules rules, Effects effects) {
        this.rules = rules;
        this.effects = effects;
    }

    void checkBadges(Customer c, double[] features) {
        for (int place = 0; place < rules.badges.length; place++) {
            Rules.Level[] levels = rules.badges[place].levels();
            while (c.badges[place] < levels.length && levels[c.badges[place]].condition().holds(features)) {
                award(c, place, "earned", Effects.seen(levels[c.badges[place]].asked(), features));
            }
        }
    }

    /** The next level of a badge. */
    void award(Customer c, int place, String reason, Effects.Why why) {
        Rules.Badge badge = rules.badges[place];
        int level = ++c.badges[place];
        String rule = "badge:" + badge.number() + ":" + level;
        effects.badge(c, rule, badge, level, reason);
        effects.decision(c, rule, "badge", "awarded", rule, badge.name(), why);
        reward(c, badge.levels()[level - 1].rewards(), rule, badge.name(), Effects.NONE);
    }

    void reward(Customer c, Rules.Rewards rewards, String rule, String name, Effects.Why why) {
        if (rewards.points() > 0) {
            c.pointsEarned = Math.min(c.pointsEarned + rewards.points(), Customer.U4);
            c.yearPoints = Math.min(c.yearPoints + rewards.points(), Customer.U4);
            int month = joinLot(c, rewards.points(), c.month + rules.validMonths + 1);
            effects.grant(c, rule, "points", rewards.points(), -1, month, 0);
            effects.decision(c, "grant:" + rule + ":points", "grant", "points", rule, name, why);
        }
        if (rewards.offer() != -1) {
            Customer.Offer offer = new Customer.Offer();
            offer.grantId = effects.grant(c, rule, "offer", 0, rewards.offer(), 0, 0);
            offer.rule = rule;
            offer.offer = rewards.offer();
            offer.told = c.asOf;
            c.offers.add(offer);
            effects.decision(c, "grant:" + rule + ":offer", "grant", "offer", rule, name, why);
        }
    }

    /** Put points into the lot of a month, lots being in order; the month of the lot that took them. */
    private static int joinLot(Customer c, long points, int month) {
        int place = 0;
        while (place < c.lots && c.lotMonth[place] < month) {
            place++;
        }
        boolean same = place < c.lots && c.lotMonth[place] == month;
        if (!same && c.lots < Customer.LOTS) {
            System.arraycopy(c.lotMonth, place, c.lotMonth, place + 1, c.lots - place);
            System.arraycopy(c.lotPoints, place, c.lotPoints, place + 1, c.lots - place);
            c.lots++;
            c.lotMonth[place] = month;
            c.lotPoints[place] = 0;
        } else if (place == c.lots) {
            c.lotMonth[--place] = month;
        }
        c.lotPoints[place] = Math.min(c.lotPoints[place] + points, Customer.U4);
        return c.lotMonth[place];
    }

    void expireLots(Customer c) {
        for (int ordinal = 0; c.lots > 0 && c.lotMonth[0] <= c.month; ordinal++) {
            long points = c.lotPoints[0];
            int month = c.lotMonth[0];
            c.lots--;
            System.arraycopy(c.lotMonth, 1, c.lotMonth, 0, c.lots);
            System.arraycopy(c.lotPoints, 1, c.lotPoints, 0, c.lots);
            c.pointsExpired = Math.min(c.pointsExpired + points, Customer.U4);
            effects.grant(c, "expiry", "expired", -points, -1, month, ordinal);
        }
    }

    void repeatOpen(Customer c) {
        c.offers.sort(Comparator.comparing(offer -> offer.grantId));
        for (Customer.Offer offer : c.offers) {
            if (c.asOf - offer.told >= Customer.DAY_MS && offer.repeats < REPEATS) {
                offer.told = c.asOf;
                offer.repeats++;
                effects.repeat(c, offer);
            }
        }
    }

    void checkTier(Customer c) {
        long points = Math.max(c.yearPoints, c.lastYearPoints);
        int tier = 0;
        for (int n = 0; n < rules.tierPoints.length; n++) {
            tier = rules.tierPoints[n] <= points ? n : tier;
        }
        if (tier != c.tier) {
            int old = c.tier;
            c.tier = tier;
            effects.tier(c, old);
        }
    }
}
