"""Word classes that the leak guard's constructions are made of.

Words are lower case, contractions written out ("can not"). A class is what its words have in common
in the guard's eyes, not a part of speech.
"""

from __future__ import annotations

from collections.abc import Mapping

_VOWELS = "aeiou"
_DOUBLED = ("t", "p", "g", "n", "b", "m")


def inflected(verbs: str) -> tuple[str, ...]:
    """Every regular form of some verbs: "avoid" -> avoid, avoids, avoided, avoiding."""
    return tuple(form for verb in verbs.split() for form in _forms(verb))


def _forms(verb: str) -> tuple[str, ...]:
    stem = verb
    if verb.endswith("e") and not verb.endswith("ee"):
        stem = verb[:-1]
    elif verb.endswith("y") and verb[-2] not in _VOWELS:
        return verb, f"{verb[:-1]}ies", f"{verb[:-1]}ied", f"{verb}ing"
    elif len(verb) < 5 and verb[-1] in _DOUBLED and verb[-2] in _VOWELS:
        stem = verb + verb[-1] if verb[-3] not in _VOWELS else verb
    plural = f"{verb}es" if verb.endswith(("s", "sh", "ch", "x")) else f"{verb}s"
    return verb, plural, f"{stem}ed", f"{stem}ing"


def _words(text: str) -> tuple[str, ...]:
    """Words by white space; an underscore stands for a space within one."""
    return tuple(word.replace("_", " ") for word in text.split())


CLASSES: Mapping[str, tuple[str, ...]] = {
    # Grammar.
    "be": _words("is are was were be been being am"),
    "seem": _words("is are was were be looks look looked seems seem appears appear feels feel"),
    "modal": _words("can could may might will would"),
    "det": _words("a an the this that these those any some his her their its your my our it them"),
    "adverb": (r"\w+ly", *_words("very so too quite rather extremely more most even still also")),
    "very": (
        r"\w+ly",
        *_words("very so too quite rather more most not never no less as pretty a_bit"),
    ),
    "anyone": _words(
        "you one people everyone everybody anyone anybody someone somebody nobody no_one we i "
        "children kids visitors users drivers owners parents adults workers passersby bystanders "
        "pedestrians hikers viewers onlookers pets humans others yourself oneself themselves"
    ),
    "whom": _words(
        "you one people everyone everybody anyone anybody someone somebody children kids visitors "
        "users humans pets others yourself oneself themselves bystanders passersby itself us "
        "a_person a_child the_user the_public"
    ),
    "lead": _words(
        "please so then also and but just always instead first therefore however overall remember "
        "thus hence yes no ideally generally still in_general as_always if_in_doubt never"
    ),
    # What is in a picture, and carries words that are like ours.
    "sign": _words(
        "sign signs label labels light lights triangle triangles tape lamp lamps stripe stripes "
        "symbol symbols notice notices bell beacon beacons poster posters board boards sticker "
        "stickers flag flags shot shots colour colours color colors placard placards plate plates "
        "siren sirens panel panels cone cones message messages text track horn whistle diamond "
        "marker markers marking markings pictogram pictograms banner banners icon icons signage "
        "leaflet buoy buoys tower pole display barrier barriers indicator indicators line lines"
    ),
    "notice": _words(
        "sign signs label labels notice notices poster posters board boards billboard sticker "
        "stickers placard placards plaque plate banner text message caption words lettering headline "
        "leaflet signpost inscription letter note display screen billboards graffiti"
    ),
    "safety_thing": _words(
        "pin pins vest vests helmet helmets goggles glasses harness harnesses belt belts net nets "
        "netting rail rails railing railings gate gates cone cones razor razors valve valves catch "
        "lever switch cap caps lock locks cage barrier barriers fence fences bar bars rope ropes "
        "shoes boots gloves gear equipment curtain lamp lamps jacket jackets hat hats mask masks "
        "shield shields chain chains cover covers latch whistle match matches scissors clip clips "
        "strap straps ring mesh cutter seat seats island car mirror mirrors wire cord knot screen "
        "visor bollard bollards card cards manual brochure booklet orange yellow wear suit suits "
        "earmuffs guard guards hook cable line lines clothing deposit sign_board glass ladder "
        "handle handles cap_pin inspector inspectors officer officers padlock sheet film can"
    ),
    "emergency_thing": _words(
        "exit exits vehicle vehicles light lights lighting door doors button buttons room phone "
        "phones telephone stairs staircase ladder kit brake brakes stop ramp lane crew crews "
        "worker workers responder responders shelter blanket blankets slide raft generator hammer "
        "helicopter boat radio number shower call_box window hatch services_vehicle landing "
        "flare flares whistle services personnel"
    ),
    "safe_kind": _words(
        "steel metal wall open closed locked small large big huge tiny black grey gray green iron "
        "old heavy floor bank gun digital hotel empty broken cracked antique home office silver "
        "white red blue brown fireproof square tall rusty built-in combination electronic cast-iron "
        "opened unlocked hidden new modern vintage second first same wooden jewellery jewelry bolted "
        "armoured armored half-open dark cash medicine"
    ),
    "carrier": _words(
        "sign signs label labels labelled labeled marked notice notices poster posters board boards "
        "billboard sticker stickers placard plaque plate banner graffiti caption title titled "
        "headline inscription slogan words word text letters lettering logo brand named called "
        "book novel film movie song game album magazine newspaper cover t-shirt shirt tattoo "
        "screen message note tape pictogram says say reads read saying reading states spells "
        "written printed painted packaging package box bottle warns bears wrapper symbol door gate "
        "fence page letter inscribed engraved stencilled stenciled embossed cap hat mug signpost"
    ),
    "reads": _words(
        "says say reads read saying reading states stating spells spelling displays displaying "
        "shows bears bearing"
    ),
    # What guards against harm, and harm itself.
    "careful": _words(
        "careful cautious vigilant alert wary mindful aware attentive watchful prudent sensible "
        "prepared responsible on_guard on_the_lookout ready_to_run safe gentle considerate"
    ),
    "strong_harm": _words(
        "injure hurt harm kill maim wound scald electrocute suffocate poison endanger explode die "
        "drown infect mutilate strangle paralyse paralyze asphyxiate shatter detonate backfire "
        "be_injured be_hurt be_harmed be_killed be_burned be_burnt be_bitten be_electrocuted "
        "be_crushed be_fatal be_deadly be_lethal be_trapped be_misused be_abused be_wounded "
        "be_poisoned be_poisonous be_toxic be_serious be_severe be_life-threatening be_catastrophic "
        "get_injured get_hurt get_harmed get_killed get_burned get_burnt get_bitten get_cut "
        "get_electrocuted get_stung get_shocked get_sick get_crushed get_trapped get_out_of_hand "
        "get_out_of_control escalate go_off start_a_fire catch_fire cause_a_fire lose_control "
        "turn_violent have_consequences have_serious go_wrong go_badly end_badly be_stung"
    ),
    "weak_harm": _words("burn cut bite sting attack crush trap shock stab slice scratch strike"),
    "body": _words(
        "skin finger fingers hand hands eye eyes face flesh throat lungs limbs arm arms leg legs feet"
    ),
    "cause": (
        *inflected("cause trigger provoke prevent avoid reduce minimise minimize spark invite risk"),
        *_words(
            "lead_to leads_to leading_to led_to result_in results_in resulting_in resulted_in "
            "in_case_of against potential_for possibility_of chance_of likelihood_of run_into "
            "suffer without_causing source_of signs_of_serious ending_in end_in ends_in do does"
        ),
    ),
    "harm": _words(
        "injury injuries accident accidents burns cuts death deaths damage infection infections "
        "illness fires fire explosion explosions harm poisoning electrocution shock disaster "
        "poisoning food_poisoning cancer disease diseases "
        "tragedy casualties fatalities effects_on_health health_effects health_problems side_effects "
        "adverse_effects negative_effects loss_of_life bloodshed wounds blindness mishap mishaps "
        "trouble suffering pain suffocation choking falls slips panic bodily_harm damage_to_health"
    ),
    "degree": _words(
        "serious severe bad terrible an a the any further possible potential electric electrical "
        "fatal great more food grave lasting permanent physical major real others unnecessary nasty"
    ),
    # Advice.
    "advisable": _words(
        "best wise advisable important essential crucial vital imperative necessary better "
        "recommended prudent sensible smart safest safer smarter wiser critical paramount required "
        "mandatory obligatory recommendable well_advised worthwhile compulsory"
    ),
    "imperative": _words(
        "avoid ensure evacuate beware refrain remember steer_clear_of think_twice exercise"
    ),
    "imperative_of_thing": _words(
        "turn wait take bring let pour rinse wash clean open close shut check test pull push lift step "
        "walk run hide find help think throw drop drink eat cook ride slow stop learn choose buy "
        "replace repair fix install place operate ban educate limit separate dilute wipe sweep "
        "ventilate evacuate tie carry pick stand point load try feed discard maintain set "
        "handle wear use keep leave store remove lock touch approach report call contact notify "
        "alert inform consult seek ask unplug extinguish put dispose_of get_rid_of supervise "
        "follow check treat respect protect consider secure disconnect cover hold move turn_off "
        "switch_off tell teach turn_down read give warn observe admire drive watch"
    ),
    "object": _words(
        "it them the this that these those all any your a an such anything everything gloves only "
        "yourself children kids pets others people someone emergency medical professional help "
        "caution proper protective eye away out knives fire matches weapons chemicals medicines "
        "off up back down far for_help until before away_from first "
        "with_care with_caution goggles both sharp from another responsibly slowly strangers"
    ),
    "authority": _words(
        "police authorities fire_department fire_brigade fire_service emergency_services ambulance "
        "doctor physician professional professionals expert experts electrician technician "
        "poison_control animal_control 911 112 999 medical_help medical_attention medical_care "
        "help_immediately professional_help bomb_squad veterinarian lifeguard local_authorities "
        "landlord specialist specialists legal_advice expert_advice staff ranger rangers security"
    ),
    "trained": _words("trained qualified licensed experienced certified authorised authorized adult"),
    "expert": _words(
        "professional professionals personnel technician technicians electrician electricians "
        "expert experts handler handlers adult adults people person specialist supervision "
        "individuals staff users hands owner owners"
    ),
    "proper": _words(
        "training protection equipment gear handling storage disposal supervision authorisation "
        "authorization precaution precautions ventilation care protective permission clothing"
    ),
    # Judgement.
    "dangerous": _words(
        "dangerous dangerously unsafe hazardous perilous perilously risky riskier riskiest harmful "
        "harmfully treacherous deadly deadlier deadliest lethal lethally fatal fatally "
        "life-threatening high-risk hazardously unsafely precarious_and ill-advised "
        "life_threatening high_risk"
    ),
    "danger": _words(
        "danger dangers hazard hazards peril perils risk risks risking risked threat threats "
        "endanger endangers endangering jeopardy jeopardise jeopardize jeopardising jeopardizing "
        "menace harm harms harming harmed"
    ),
    "substance": _words("toxic poisonous venomous flammable explosive corrosive addictive carcinogenic"),
    "immoral": _words(
        "unethical unethically immoral immorally morally ethically ethical ethics morality immorality "
        "irresponsible irresponsibly reckless recklessly recklessness inappropriate inappropriately "
        "unacceptable evil wicked shameful disgraceful inhumane reprehensible deplorable despicable "
        "abhorrent heinous condone condones condoned condoning glorify glorifies glorifying "
        "glorification inexcusable unforgivable unjustifiable atrocious barbaric vile sinful "
        "negligent negligence negligently malicious maliciously morals blameworthy unconscionable "
        "disrespectful misuse misusing misused abuse abusive wrongdoing cruelty savagery "
        "misconduct carelessness careless foolish foolishly unwise unwisely outrageous hateful "
        "appalling repugnant indecent antisocial condemnable sickening dishonest selfish disgusting "
        "callous heartless inhuman corrupt depraved cowardly monstrous nefarious racist sexist "
        "intolerable indefensible wrongful unscrupulous questionable problematic regrettable tragic "
        "terrible horrible horrendous dreadful awful heartbreaking shamefully deserve deserves "
        "deserved frowned disapprove unfair immature thoughtless inconsiderate ashamed insensitive "
        "criminally degrading dehumanising dehumanizing exploitative predatory abhor deceitful "
        "treasonous unprofessional impermissible improper improperly reproachable culpable"
    ),
    "illegal": _words(
        "illegal illegally unlawful unlawfully illicit illicitly outlawed criminalised criminalized "
        "prohibited forbidden banned punishable felony misdemeanour misdemeanor contraband"
    ),
    "worrying": _words(
        "disturbing disturbingly alarming alarmingly worrying worryingly worrisome troubling "
        "horrific horrifying distressing deeply_unsettling"
    ),
    "stance": _words(
        "sadly tragically regrettably thankfully hopefully unfortunately luckily fortunately "
        "worryingly alarmingly needless_to_say shockingly disappointingly"
    ),
    "perceive": _words(
        "see look notice spot observe find read view count make_out recognise recognize discern tell "
        "detect guess estimate imagine think believe say_there say_it describe_it zoom face know "
        "determine be_sure be_certain perceive distinguish looking sure certain call_it assume"
    ),
    "deed": _words(
        "act acts activity activities behaviour behavior conduct offence offense enterprise intent "
        "purpose purposes damage negligence record"
    ),
    # Refusal.
    "assist": _words(
        "assist help provide answer comply discuss comment continue fulfil fulfill engage respond "
        "describe share support participate offer proceed give tell_you talk accommodate identify "
        "generate process show_you teach go_into do_that do_this explain elaborate speculate say_more "
        "go_there recommend encourage promote endorse be_of_help disclose reveal assess evaluate "
        "complete list name walk_you be_able"
    ),
}
