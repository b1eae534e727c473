"""The leak guard's constructions: reason -> patterns, and what looks like them but is neutral.

A pattern is a regular expression over the words of one lower-case sentence, its contractions
written out, in which

    {class}    one word of a class of `leak_words.CLASSES`
    {class*}   any number of them, each with a space behind it
    {..3}      at most three words of any kind, each with a space behind it
    {start}    where an order may begin: at the start, or after a comma, colon or dash

To add a construction: write it here, and a sentence of each side to the tests' list.
"""

from __future__ import annotations

from collections.abc import Mapping

# Masked before anything is looked for: things that are called so, and reports of what a sign says.
NEUTRAL: tuple[str, ...] = (
    # "A yellow safety vest", "a warning triangle", "the emergency exit", "hazardous waste drums".
    r"safety(?: |-)(?:\w+ )?{safety_thing}",
    r"(?:safety|fire safety|road safety|danger|warning|caution|hazard|hazards|biohazard|radiation|"
    r"emergency|prohibition|high voltage|risk|poison|toxic|explosive|flammable|corrosive|"
    r"radioactive|danger zone|hazard warning|danger of death)(?: (?:and|or) \w+)?(?: |-)"
    r"(?:\w+ )?{sign}",
    r"emergency(?: |-){emergency_thing}",
    r"(?:hazardous|toxic|explosive|flammable|radioactive|corrosive|poisonous)(?: |-)"
    r"(?:waste|material|materials|substance|substances|chemical|chemicals|gas|liquid|liquids|goods)"
    r"(?: |-)(?:\w+ )?(?:{sign}|{safety_thing}|drum|drums|barrel|barrels|bin|bins|container|"
    r"containers|bag|bags|suit|suits|canister|canisters|bottle|bottles|tank|tanks|truck|trucks)",
    r"(?:biohazard|hazmat) (?:\w+ )?(?:bag|bags|suit|suits|bin|bins|container|containers|team|box)",
    r"(?:danger|hazard|exclusion|high-risk) (?:zone|area) {sign}",
    r"(?:beware of|do not|keep|stay|no|mind|warning) (?:the )?(?:\w+ ){0,3}(?:sign|signs|notice)",
    # The steel box.
    r"safe(?: |-)(?:deposit|door|dial|cracker|crackers|box|boxes|handle|key|lock|shelf|hinge)(?:es)?",
    r"safes",
    r"(?:{det}|another|one|two|three|four|which|what) (?:{safe_kind} )*safe"
    r"(?= (?:in|on|at|behind|under|beneath|next|near|by|beside|of|is|are|has|stands|sits|"
    r"was|contains|holds|that|which|and|with|inside|built|set|stood|open|lies|or|above|below|"
    r"mounted|bolted|made|weighs|full|filled|hangs|appears|hidden|visible|shown|there|located|"
    r"embedded|between|against|painted|standing|sitting|closed|locked)|[,;:]| ?$)",
    r"{safe_kind} safe(?= |[,;:]|$)",
    # The board game, the species, the film still, the programme.
    r"(?:game|board game|box|boxes|copy|board) (?:of|called|named) (?:the game )?risk",
    r"risk (?:card|cards|pieces?|board|box|game|set|pieces|map)",
    r"endangered (?:species|animals?|birds?|\w+ species)",
    r"deadly nightshade|harm(?:onica|ony)|crime (?:scene|novel|fiction|story|series|tape)\w*",
    r"condemned (?:building|house|sign)\w*|danger mouse",
    r"without (?:being )?harm(?:ed)?",
    r"\ba harmless(?= \w)",
    # A forest warden, an alarm clock's "alert": people and things that do what they are for.
    r"(?:lifeguard|security guard|crossing guard|guard) (?:chair|tower|post|rail|dog|house)s?",
    r"(?:looks?|seems?|appears?|feels?|is|are|was|were) (?:safe)?ly locked",
    # What a sign says in other words: "the label warns that the liquid is corrosive".
    r"(?:sign|signs|notice|poster|board) (?:\w+ )?(?:indicating|indicates|indicate|for|about|against) "
    r"[^,]*",
    r"{notice} (?:that |which |is |are |was |were |on the \w+ |in \w+ (?:letters |ink )?)*"
    r"(?:warn|warns|warned|warning|cautions|cautioning|prohibits|prohibiting|forbids|forbidding|"
    r"advises|advising|alerts|alerting|reminds|reminding|tells|telling|asks|asking|orders|ordering|"
    r"instructs|instructing) [^,]*",
    r"(?:carries|carry|carrying|bears|bearing|has|with|displays|displaying|shows|showing|reading) "
    r"(?:a|the|an|several|two) (?:\w+ )?(?:warning|warnings|caution)(?= (?:in|on|about|against|"
    r"printed|written|of|painted|text)|$)",
    r"(?:a|the|two|several|printed|written) (?:\w+ )?warnings? (?:is |are |was |were )?"
    r"(?:printed|written|painted|posted|stamped|stencilled|stenciled|displayed|visible)",
    r"(?:no|a no)(?: |-)(?:smoking|entry|parking|swimming|trespassing|diving|fishing) .*{sign}",
)

# A sentence in which these stand reports a picture's text from there on.
SEEN_TEXT: tuple[str, ...] = (
    r"(?:{sign}|{carrier}|it|that|which|they|{det}) (?:{adverb*}){reads} (?:that )?(?:the words? )?",
    r"(?:with|has|have|and|bearing|in|of|the|say|says) (?:the |\w+ )?(?:words?|text|letters|inscription|"
    r"title|phrase|slogan|caption|lettering|label|warning) ",
    r"(?:labelled|labeled|marked|titled|entitled|captioned|inscribed|named|stamped) (?:as |with )?",
    r"(?:letters|lettering|words|text|writing|font) (?:that )?(?:spell|spells|spelling|reading|saying)"
    r" ",
)

RULES: Mapping[str, tuple[str, ...]] = {
    "refusal": (
        r"i (?:can|could|will|would|do|may|must|am|shall|have) not (?:{adverb})* ?(?!{perceive})\w+",
        r"(?:i|we) {adverb*}(?:can|could|will|would|may|must|do|am|are|should) not {adverb*}"
        r"(?:be able to )?{assist}",
        r"(?:i|we) (?:am|are) {adverb*}(?:not able|unable|not allowed|not permitted|not going|"
        r"not comfortable|not in a position|not willing|unwilling|not equipped|not authorized|"
        r"not prepared|not designed|not meant|uncomfortable|programmed|designed)",
        r"(?:i|we) (?:would|will|must|have to|need to|should|am going to|shall|can only)? ?{adverb*}"
        r"(?:decline|refuse|pass on|refrain|abstain|apologize|apologise|prefer not|rather not|"
        r"withhold|stop here|skip)",
        r"(?:i|we) do not (?:feel (?:comfortable|right|able|it)|wish to|want to|think i (?:can|should|"
        r"could)|intend to|have permission|believe (?:i|it|that)|think it|think that|consider it)",
        r"(?:i|we) (?:am|are) {adverb*}(?:sorry|afraid)",
        r"^(?:so |very |terribly )?sorry(?:,|$| but| i| about| that)",
        r"\b(?:my|our|sincere) apologies|apologies(?:,| but| for| i)|i beg your pardon",
        r"as an? (?:ai|assistant|language model|responsible|artificial|helpful|visual|vision|model)",
        r"(?:against|outside|beyond|goes against|violates?|within) (?:of )?(?:my|our|the|what i|any)? ?"
        r"(?:content |usage |safety |ethical |company |user |community )?(?:guidelines?|polic(?:y|ies)|"
        r"programming|principles?|terms of (?:use|service)|can do|capabilities|rules i|am able|remit)",
        r"(?:not|nothing|never) (?:something|a (?:topic|question|subject|request|thing)|anything) "
        r"(?:that )?(?:i|we)\b",
        r"(?:can|could|will|would|is|are) not {adverb*}be (?:able|provided|described|answered|"
        r"disclosed|fulfilled|assisted|shared|discussed|shown to you|given here)",
        r"(?:unable|not able) to (?:assist|help|provide|answer|comply|discuss|comment|continue|fulfil|"
        r"fulfill|engage|respond|describe|support|offer|share)",
        r"(?:can|could|will|would) not {adverb*}(?:assist|help you|comply|help with (?:that|this)|"
        r"answer (?:that|this)|fulfil|fulfill)",
        r"(?:change the subject|(?:talk|ask|ask me|chat|speak) about something else|"
        r"something else instead|anything else (?:i|you|that i)|another (?:question|topic|request)"
        r"(?: instead)?$|different (?:question|topic|request))",
        r"(?:happy|glad|pleased) to (?:help|assist|answer|talk|discuss|describe)",
        r"(?:let us|we could|could we|can we|shall we) (?:rather |instead )?(?:talk|discuss|move on|"
        r"focus|keep to|stick to|not)",
        r"(?:this|the|your|that) (?:request|question|prompt|query) (?:is|was|can|could|violates|falls|"
        r"goes|asks|seems|concerns|involves|can not|will not|should|must|raises)",
        r"no comment|request (?:is )?(?:denied|declined|refused)|refuse to (?:answer|help|describe|"
        r"assist|discuss|comment)|(?:sensitive|graphic|explicit|harmful|unsafe|violent|inappropriate) "
        r"(?:content|material|imagery|images?|nature|topic|subject)|viewer discretion|nsfw|"
        r"(?:content|trigger) warning|content policy",
        r"i (?:will|would|shall) (?:have to )?(?:leave it at that|not go (?:any )?further|"
        r"say no more|stop there)",
    ),
    "advice": (
        r"(?:should|ought|had better|shall not|should not)",
        r"must (?!be\b|have\b|\w+ly (?:be|have)\b)\w+|"
        r"needs? to (?!be (?:finished|completed|painted|mown|watered|repaired|filled|cut|wound|seen)\b)\w+|\ba must\b|non-negotiable|"
        r"not optional|not negotiable",
        r"requires? (?:\w+ )?(?:care|caution|attention|skill|training|permits?|licen[cs]e|supervision|"
        r"experience|protective|gloves|expertise|proper|professional|immediate|extra|special)",
        r"needs? (?:\w+ )?(?:help|attention|assistance|supervision|rescue|treatment|control)\b",
        r"to be (?:used|handled|worn|stored|kept|treated|avoided|approached|touched|taken|supervised|"
        r"reported|admired|respected)\b|used only|only (?:be )?(?:used|handled|worn|operated)",
        r"reach out|helpline|hotline|counsell?ing|counsell?or|support (?:group|line|services)|"
        r"(?:seek|take|find) (?:\w+ )?(?:shelter|refuge|help|cover)|"
        r"strict(?:er)? (?:control|rules|regulations?|supervision|laws?|enforcement)|"
        r"not (?:really )?want to|plenty of (?:space|room|distance)|give (?:it|them|him|her) (?:\w+ )*"
        r"(?:space|room)|call(?:s|ing)? for (?:help|care|caution|action|vigilance|restraint)",
        r"(?:is|are) {..3}(?:allowed|permitted)\b|(?:brought to justice|held (?:accountable|responsible))|"
        r"(?:be|to|and|please) (?:prepared|ready) for|intervene|intervention|"
        r"keep (?:an|a) (?:close )?eye|(?:is|are) off(?: |-)limits|a no-no",
        r"(?:must|need not) (?:not|never|always|only|also|first|ever|{adverb})",
        r"(?:must|has to|have to|needs? to|is to|are to|is best|are best|better|best) {adverb*}be "
        r"{adverb*}(?:kept|handled|stored|used|treated|avoided|worn|locked|supervised|taken|left|"
        r"removed|approached|reported|disposed|secured|respected|followed|careful|cautious|"
        r"vigilant|aware|alert|done|observed|put|placed|removed|operated|trained|carried|given|"
        r"extinguished|evacuated|monitored|watched|stopped|prevented|made|called|protected|checked|"
        r"cleaned|prepared|held|wary|alone|accompanied|touched|dealt|turned|switched|taught|told|"
        r"warned|admired|properly|responsible|stay|moved)",
        r"(?:must|has to|have to) (?:wear|keep|stay|use|follow|avoid|take|handle|call|leave|respect|"
        r"remember|ensure|seek|report|exercise|put|watch|store|act|evacuate|never)",
        r"{anyone} (?:\w+ )?(?:must|need to|needs to|have to|has to|had better|better not|may want|"
        r"might want|would do well|do well|are advised|is advised|are urged|is urged|"
        r"are encouraged|is encouraged|are reminded|are asked|would be wise|will want|want to be|"
        r"might consider|may wish|might wish|could consider|can never be too|would benefit)",
        r"(?:you|one) (?:should|must|ought|need|had)",
        r"(?:is|are|be|was|it|seems?|always|would|might|may|often|generally|usually|therefore|not|"
        r"perhaps) {adverb*}(?:be )?{adverb*}{advisable}(?: for {..3})? ?(?:to|that|not|left|kept|avoided|admired|"
        r"if|handled|practice|when|stored|viewed|observed|for (?:everyone|anyone|you|people|visitors)|"
        r"in such|in this|here|at all times)\b",
        r"^(?:{lead}[ ,]*)*{advisable} (?:to|not to|left|that|kept|practice)\b",
        r"(?:is|are|be|was) {adverb*}(?:not )?(?:advisable|prudent|advised|mandatory|compulsory|"
        r"imperative|obligatory|recommended|ill-advised|inadvisable|warranted|required|paramount|"
        r"discouraged|urged|called for|in order|preferable|encouraged)\b",
        r"(?:recommend|recommends|recommended|recommending|recommendation|recommendations|advisable|"
        r"inadvisable|precaution|precautions|precautionary|safeguards?|preventive|preventative|"
        r"best practices?|unattended children|supervise|supervised)",
        r"(?:i|we|experts?|doctors?|professionals?|strongly|authorities|police) (?:strongly |highly |"
        r"would |can only |always |also |generally )*(?:advise|advised|advises|suggest|suggests|urge|"
        r"urges|encourage|caution|warn|implore|propose|hope|beg|ask you|insist|remind|stress)",
        r"my advice|a (?:word|piece|bit) of (?:advice|caution|warning)|(?:some|good|sound) advice|"
        r"advice (?:is|would|from)|(?:safety|useful|helpful|practical) tips?|rule of thumb",
        r"i (?:would|will|shall) (?:not |never |definitely |certainly |really |rather |personally |"
        r"strongly |always )*(?:stay|keep|avoid|touch|go near|get|call|leave|suggest|advise|recommend|"
        r"urge|approach|wear|be careful|want|consider|move|put|encourage|warn|caution|step|steer|"
        r"handle|try|go)\b",
        r"(?:good|bad|terrible|poor|wise|unwise|great|awful|horrible|risky) (?:idea|choice|decision|"
        r"judgement|judgment|practice)\b(?! (?:notebook|board|book))",
        r"think twice|steer clear|err on the side|better safe|play it safe|out of (?:the )?reach of|"
        r"(?:child(?:ren)?|kid)s?'? reach|at arm's length|steering clear|(?:keep|leave)s? well (?:away|"
        r"alone)|leave (?:it|them|this|that|the \w+) (?:alone|be|undisturbed|to (?:the )?(?:\w+ )?"
        r"(?:professionals?|experts?|police|authorities))|(?:best|better) (?:avoided|left|kept|not|"
        r"to|off|handled|enjoyed|admired|viewed|observed|appreciated)\b",
        r"{start}be {very*}{careful}",
        r"(?:to|must|should|please|and|always|not|can|could|stay|keep|you|remain|be) be {very*}"
        r"(?:careful|cautious|vigilant|wary|mindful|watchful)",
        r"{start}(?:stay|remain|keep) {very*}(?:{careful}|away|back|clear|out|calm|indoors|inside|"
        r"your distance|a (?:\w+ )?distance|off|at least|well|well_away|hidden|low|put|in)\b",
        r"(?:and|to|people|everyone|should|can|please|then|or|must) (?:stay|keep|remain) (?:well |far )?"
        r"(?:away|clear|alert|vigilant|cautious|calm|back from|out of|your distance|a (?:\w+ )?distance)",
        r"(?:keep|keeping|maintain|maintaining|keeps|from|at) (?:a |your |their |one's |some )?"
        r"(?:\w+ )?(?:respectful|reasonable|considerable|safe|good|secure) distance",
        r"keep(?:ing)? (?:your|one's|my|their|some) distance|a safe distance|keep (?:it|them) away from|"
        r"away from (?:children|kids|pets|open flames?|heat sources|minors)",
        r"{start}(?:do not|never|under no circumstances|at no time)(?: ever| even)? (?!the |a |an )\w+",
        r"(?:and|so|but|please|or|then) (?:do not|never) (?:touch|use|go|try|open|enter|approach|get|"
        r"leave|eat|drink|play|handle|let|run|move|stand|attempt|point|feed|swim|climb|pick|put|mix)",
        r"{start}{imperative}\b(?! of)",
        r"^(?:if|when|before|while|whenever|unless|once|after|during|in case|in the event|around|near) "
        r"[^,]*, (?:{lead} )*(?:{imperative}|{imperative_of_thing}|do not|never|stay|seek|back|walk|run|"
        r"step|take|be|make|rinse|wash|get|let)\b",
        r"{start}(?:make sure|be sure|take (?:care|precautions|cover|caution|great care|heed)|watch out|"
        r"look out for|watch your|watch where|mind (?:your|the)|use (?:caution|extreme|great|proper|"
        r"protective|tongs|it|only|common sense|care|with)|step back|back away|walk away|run away|"
        r"move away|go (?:back|inside|away)|get (?:out|help|away|back|inside)|wash your|play it|"
        r"hang up|slow down|stop (?:what|right|and|immediately)|pay attention|keep in mind|remember that|"
        r"bear in mind|just do not|no one (?:is|should)|heads up|let (?:the|a) (?:professionals?|"
        r"experts?|police|adult))",
        r"(?:exercis(?:e|es|ed|ing)|us(?:e|es|ing)|with|tak(?:e|ing)|requir(?:e|es|ing)|demands?|calls? for|"
        r"warrants?|proceed with|approach with|deserves?|extreme|extra|some|great|utmost|due) "
        r"(?:\w+ )?(?:caution|vigilance)",
        r"(?:caution|vigilance|care|discretion|prudence|common sense|attention|supervision|restraint) "
        r"(?:is|are|should|must|would be|when|around|needed|required|at all times|here|remains)",
        r"(?:handl(?:e|ed|ing)|treat(?:ed|ing)?|us(?:e|ed|ing)|operat(?:e|ed|ing)|approach(?:ed|ing)?) "
        r"(?:\w+ ){0,2}(?:with (?:\w+ )?(?:care|caution|respect)|carefully|responsibly|safely|properly|cautiously)",
        r"(?:extreme|extra|utmost|special|particular) (?:care|caution|vigilance|attention)",
        r"(?:consult|contact|notify|alert|inform|report|call|seek|ask|summon|phone|ring|dial)(?:ing|ed)? "
        r"(?:it |this |them |him |out |for |to |with |immediate |qualified |professional |any |your |help |"
        r"from |a |an |the |local |nearest |trained |medical |in |incident |such |matter |emergency )*{authority}",
        r"medical (?:attention|advice|help|care|assistance)|professional (?:help|advice|guidance|assistance)",
        r"{trained} {expert}",
        r"(?:only|left|best|reserved|up) (?:\w+ )?(?:by|to|for) (?:{det} )?(?:{trained} )?"
        r"(?:professionals?|experts?|adults?|those who|people who|specialists?)",
        r"{proper} {proper}|proper(?:ly)? {proper}|(?:proper|appropriate|adequate|correct|right) {proper}|"
        r"properly (?:stored|handled|disposed|secured|trained|supervised)|responsible (?:use|ownership|"
        r"handling|behaviour|behavior|disposal|manner|gun|adult)|responsibly|under (?:adult|close|"
        r"strict|constant|proper)? ?supervision|(?:adult|without|parental|constant) supervision",
        r"not (?:a toy|toys|something to (?:play|joke|be)|for (?:children|kids|play|amateurs|minors|"
        r"human consumption|public)|suitable|meant (?:to|for)|intended (?:to|for)|to be (?!seen|found|"
        r"confused|visible)\w+|allowed|permitted|(?:be )?tampered|worth (?:it|the))",
        r"unsuitable for|no (?:laughing matter|joke|place for)|in (?:case of|an) emergency|"
        r"at all costs|at all times|(?:please|kindly) (?:note|be|keep|do|stay|handle|remember|avoid|"
        r"refrain|use|take|seek|consult|contact|report|make|leave|ensure|exercise|consider|call|wear)",
        r"it (?:pays|helps|never hurts|does not hurt|would not hurt|is worth|is always worth|makes sense) to",
        r"(?:let us|we) (?:all )?(?:remember|not forget|hope|be|always|make sure|stay|keep|never)",
        r"(?:if in doubt|when in doubt|just in case|for good measure|to be on the safe side)",
        r"(?:remind|reminds|reminder|remind us|lesson|teaches us|cautionary)\b(?! (?:card|note|app|list))",
    ),
    "warning": (
        r"(?:^|[,:] ?|important |fair |this is a |as a |a word of )(?:warning|caution|attention|danger|"
        r"alert)(?= ?[:!,-]|$)",
        r"(?:warn|warns|warned|warnings|beware|forewarned)\b",
        r"a (?:clear |stark |strong |final |serious |fair |grim )?warning\b(?! {sign})",
        r"{modal} (?:{adverb} |not |potentially |be |get |become |have |still |also |even |{anyone} |it |"
        r"and |or )*{strong_harm}",
        r"{modal} (?:{..3})?(?:{adverb} )*(?:cause|lead to|result in|trigger|do|inflict|pose|present|"
        r"create|bring|set off|provoke|end in|mean|spark|invite) (?:\w+ )?(?:{degree} )*(?:{harm}|hazard)",
        r"{modal} (?:{adverb*})(?:{weak_harm}|bite|cut|fall on|explode on|slip and|trip and|fall and|"
        r"turn on|come after|hit) (?:{whom}|your|the (?:skin|user|child|fingers?|hand|eyes)|"
        r"{body}|without warning|when|if|at any)",
        r"{modal} (?:{..5})(?:injure|hurt|harm|kill|electrocute|suffocate|maim|be injured|be hurt|"
        r"be killed|get hurt|get injured|be harmed|be fatal|die)\b",
        r"{cause} (?:{degree} )*{harm}",
        r"mak(?:e|es|ing) {whom} {very*}(?:ill|sick|blind|addicted)|"
        r"(?:could|might|may|would|can|will) (?:happen|go wrong) if|what happens if|"
        r"{harm} {modal}|(?:likely|liable|prone|bound|certain|sure|known|able) to (?:{adverb})? ?(?:bite|"
        r"attack|explode|collapse|injure|burn|hurt|kill|cause|lead|end|ignite|sting|harm|shatter|fall|"
        r"hit|strike|result)|capable of (?:kill|caus|inflict|injur|hurt|destroy|harm)\w+|"
        r"enough to (?:kill|injure|hurt|harm|blind|burn|knock|stop|poison)|"
        r"kills? (?:in|within|you|people|thousands|\w+ people)|potentially|at stake|"
        r"expos(?:e|es|ing) (?:{whom}|him|her|them|himself|herself|his|their|workers) ?(?:\w+ )?to",
        r"^(?:(?:and|as|because|since|also|note that) )?(?!(?:something|nothing|anything|everything|king|ring|"
        r"morning|evening|building|ceiling)\b)\w+ing\b (?:[\w'-]+ ){0,6}(?:can|may|could|might|would|"
        r"leads|causes|poses|puts)\b|, (?:and |as |because |since |for )?\w+ing\b (?:[\w'-]+ ){0,5}"
        r"(?:can|may|could|might|would|leads|causes|poses|puts)\b",
        r"(?:cause|causes|causing|prevent|prevents|avoid|lead to|leads to|result in|risk|suffer|inflict|"
        r"inflicts) (?:\w+ ){0,3}(?:injury|injuries|accidents?|death|burns|harm|fatalities|casualties|"
        r"electrocution|infections?)",
        r"(?:get|gets|getting|be|being) (?:seriously |badly |easily )?(?:hurt|injured|electrocuted|harmed|"
        r"burned|burnt)\b",
        r"(?:hurt|hurts|hurting|injure|injures|injuring|harm|kill|kills|burn|cut|endanger|poison) "
        r"{whom}\b",
        r"(?:accidents?|injuries|tragedies|mishaps) (?:can|could|may|might|will|do|happen|waiting)|"
        r"waiting to happen|recipe for|(?:within|in) seconds (?:of|it)|spread (?:rapidly|quickly|fast)|"
        r"(?:spread|ignite|explode|collapse|strike|attack|bite|turn) (?:at any|without warning|if)",
        r"if (?:\w+ ){0,2}(?:touched|swallowed|ingested|inhaled|mishandled|misused|provoked|disturbed|"
        r"threatened|eaten|not handled|used improperly|left unattended|not (?:treated|used|handled|"
        r"stored|careful)|handled (?:improperly|carelessly|incorrectly|badly)|unsupervised|cornered)",
        r"(?:serious|dire|severe|legal|grave|tragic|fatal|devastating|terrible|deadly|unintended|lasting|"
        r"real) consequences|"
        r"(?:save|saves|saving|cost|costs|claim|claims|endanger|endangers|risk|risks|take|takes) "
        r"(?:\w+ )?(?:lives|a life|your life)",
        r"careless handling|improper(?:ly)? (?:use|handling|storage|used|stored|handled|disposal)|"
        r"(?:wrong|inexperienced|untrained) hands|lethal force|not to be underestimated",
        r"(?:one|a single|any|the slightest|only one) (?:\w+ )?(?:wrong (?:move|step)|spark|slip|mistake|"
        r"false (?:move|step)) (?:could|can|may|might|would|is|and|away)",
    ),
    "danger label": (
        r"{dangerous}",
        r"{danger}",
        r"{seem} (?:not )?{very*}(?:threatening|menacing|intimidating|alarming|harmless|vulnerable|exposed to)",
        r"^(?:is|are|was|were) .*(?:threatening|menacing|harmless|secure enough)$",
        r"(?:highly|extremely|very|potentially|deadly|incredibly|dangerously|quite|particularly|"
        r"severely) {substance}",
        r"{seem} {adverb*}{substance} (?:to|if|when|and|for|in|or)",
        r"{substance} (?:to (?:humans|people|pets|children|touch|breathe|inhale)|if|when|fumes|when inhaled)",
        r"(?:bad|terrible|detrimental|damaging) (?:for|to) (?:your|one's|the|human|their|you|public)? ?"
        r"(?:health|lungs|body|environment|you|wellbeing|well-being)",
        r"suspicious (?:activity|behaviour|behavior|package|looking|intent|manner)|foul play|red flag|"
        r"(?:cause|reason|reasons|grounds) for (?:concern|alarm|worry)|up to no good",
        r"(?:raise|raises|raising|raised|cause|causes|causing|express|of|for|major|serious|grave|growing|"
        r"safety|security|real|ethical|legal|health|significant|some|genuine) (?:\w+ )?concerns?\b",
        r"{seem} {very*}(?:concerning|precarious|hair-raising|nerve-racking)\b(?! the)",
        r"(?:i|we) (?:am|are|feel|find \w+) {very*}(?:concerned|worried|alarmed|troubled|uneasy|disturbed)",
        r"(?:ill|malicious|harmful|bad|hostile|criminal) (?:intent|intentions)|no (?:immediate )?cause for",
    ),
    "safety word": (
        r"safe|safer|safest|safely|unsafe|safety",
        r"(?:protect|protects|protecting) (?:yourself|oneself|you|your|others|the public|children|people|"
        r"everyone|against (?:injury|harm|infection|burns)|from (?:injury|harm|burns|infection))",
        r"well-being|wellbeing|{seem} {very*}(?:insecure|secure enough|not secure|at risk|unprotected)\b",
        r"for (?:your |their |one's |added |extra |everyone's )?(?:own )?protection\b|"
        r"(?:fire|accident|injury|crime|violence) prevention|(?:security|protective|preventive) "
        r"(?:measure|measures|protocol|protocols)|first aid (?:is|should)|stay out of trouble|"
        r"(?:well-being|wellbeing|welfare) of",
    ),
    "moral judgement": (
        r"{stance}(?=,| |$)",
        r"(?:is|are|was|were|so|very|simply|just|really|truly|quite|a|an|both) {very*}(?:bad|brutal|sad|"
        r"unkind|mean|rude|nasty|shame|disgrace|unnatural|hypocritical|wasteful|naive)"
        r"(?= (?:that|to|thing|way|and|for|of|behaviour|behavior|deed|act|idea|example|habit|practice|"
        r"because|in|on)|[,;]|$)",
        r"innocent (?:people|lives|civilians|victims|bystanders|person|animals?)|punish\w*|"
        r"invasion of|privacy\b(?! (?:curtain|screen|film|fence|glass|wall))|sad to see|"
        r"without (?:any )?(?:permission|consent|authori[sz]ation|regard|thinking|remorse|reason)",
        r"{immoral}",
        r"{illegal}",
        r"{worrying}(?! (?:the|a|an|his|her|its|their)\b)",
        r"(?:what|how) do you (?:think|feel) (?:about|of)|your (?:opinion|view on)|"
        r"do you (?:agree|approve|support|condone)|is it (?:right|wrong|fair|okay|ok)\b",
        r"against the law|break(?:s|ing)? the law|violat(?:e|es|ed|ing|ion|ions) (?:of )?(?:the |any |"
        r"several |basic |traffic |international |federal |human )*(?:law|laws|rules|rights|regulations|"
        r"polic(?:y|ies)|principles|code|trust|privacy)|not legal|(?:legal|criminal) (?:consequences|"
        r"trouble|charges|penalties|issues|liability|problem)",
        r"criminal {deed}|(?:is|are|be|it|commits?|committing|constitutes?|a serious|a|as a) crimes?\b"
        r"(?! (?:scene|novel|story|film|writer|series|drama|tape))|it is a crime|(?:cruel|barbaric|"
        r"brutal|senseless|unjust) (?:act|acts|thing|behaviour|behavior|treatment|violence|to|and|way|"
        r"practice)|{seem} {very*}(?:cruel|unjust|evil|wicked|sinister|offensive|criminal|shocking|"
        r"sad that|a shame|shameful)\b",
        r"(?:morally|ethically|is|are|was|deeply|plain|simply|just|clearly|fundamentally|it) {adverb*}"
        r"wrong (?:to|and|because|for|that|no matter|$)|(?:morally|ethically|deeply|plain|plainly|simply|"
        r"clearly) wrong|(?:is|are|this|that|and|it) wrong\b(?! (?:with|time|way|side|size|colour|color|"
        r"end|hand|direction|number|address|place))|do(?:ing|es)? (?:something |anything |\w+ )?wrong\b",
        r"not (?:ok|okay|right to|acceptable|justified|appropriate|ethical|fair to|proper|nice to|cool|"
        r"the right|how one|decent|worthy|a game|funny)\b|(?:never|no) (?:ok|okay|right|acceptable|"
        r"justified|excuse|justification|good reason|the answer|way to treat)\b|"
        r"(?:nothing|can) (?:can )?(?:justify|justifies|be justified|excuse|excuses)",
        r"violence\b(?! (?:film|novel))|violent (?:act|acts|behaviour|behavior|crime|crimes|content|"
        r"conduct|extremism)|hate (?:speech|crime|group)|bullying|harassment",
        r"(?:ought to|should) be ashamed|deserves? (?:punishment|to be punished|better|condemnation)|"
        r"a (?:terrible|horrible|bad|awful|shameful|wicked|despicable|cowardly) (?:thing|person|act|deed|"
        r"crime|example|sight)|no decent|decent (?:person|people|human)|bad (?:people|person|person's|"
        r"behaviour|behavior|influence)|(?:lack|lacks|lacking|shows no|show no|disregard) (?:of |for )?"
        r"(?:\w+ )?(?:respect|regard|empathy|conscience|remorse|human life|decency)|disregard for",
        r"(?:encourage|encourages|encouraging|promote|promotes|promoting|endorse|endorses|normalise|"
        r"normalize|normalises|normalizes|support|supports|incite|incites) (?:\w+ )?(?:such|violence|"
        r"hatred|hate|crime|harm|illegal|bad|criminal|drug|this|that|any|weapons|terrorism|behaviour)",
        r"(?:unhealthy|a sin|guilty of|to blame|victimi[sz]es?|exploits? (?:the|people|children)|"
        r"tragic that|sad reality|society)\b",
    ),
}

# Of answers alone: who looks at a picture is not in it, and gives no orders. A question may say "you",
# "me" and "describe the ...". What may come of a thing is a warning, what it may be is not.
OF_ANSWERS: Mapping[str, tuple[str, ...]] = {
    "advice": (
        r"{start}(?:\w+ly )?{imperative_of_thing} {object}\b",
        r"{start}keep \w+",
    ),
    "warning": (
        r"(?:could|may|might) (?:{adverb} |also |even |still |soon |then )*(?!{adverb}|also\b|even\b|"
        r"still\b|soon\b|then\b|be\b|have\b|not\b|well\b|belong|contain|hold|represent|indicate|"
        r"depict|come\b|show|hide|weigh|refer|suggest|mean|stand\b|see\b|fit\b|seat\b|look|carry|"
        r"perhaps|say\b|read\b|reach|serve|measure|number|pass\b|or\b|count|lie\b|sit\b|date|"
        r"originate|depend|feature|include|consist)\w+",
    ),
    "in person": (
        r"you\b(?! (?:{adverb} |can |could |may |might |will |would |only |just |not |also |do |should )*"
        r"{perceive})(?!$)(?! (?:asked|mentioned|have asked|see|mean))",
        r"your\b(?! (?:left|right|screen|view|question))|yourself|yourselves",
        r"i\b(?! (?:{adverb} |can |could |may |might |will |would |only |just |not |also |do |have |am )*"
        r"(?:{perceive}|counted|seen|have))(?!$)|my\b(?! (?:view|reading|left|right))",
        r"we\b(?! (?:{adverb} |can |could |may |might |will |would |only |just |not |also |do |have )*"
        r"(?:{perceive}|seen|counted))(?!$)",
    ),
}
