"""The vocabulary of the controlled language, as data in a compact notation; all words were chosen for this project.

Notation, the same in every table:

- `parent: child child ...` puts nodes into a tree; a child may be the parent of a later line. Siblings are disjoint:
  nothing is both. Words whose everyday sense crosses a tree (teacher and woman, devour and eat) are therefore left out
  or made parent and child.
- `word=synonym=synonym` are the interchangeable names of one node; the first one is its id.
- `_` stands for a space; `/` gives forms that the spelling rules of `lexicon` get wrong: `singular/plural` for nouns
  and `base/past/participle` for verbs.
"""

NOUNS = """
thing: person animal food plant utensil vehicle piece_of_furniture/pieces_of_furniture
thing: garment=item_of_clothing/items_of_clothing
thing: piece_of_jewellery/pieces_of_jewellery=jewel musical_instrument piece_of_music/pieces_of_music=composition
thing: text=piece_of_writing/pieces_of_writing electronic_device=gadget toy=plaything container=receptacle structure
thing: building_material ball weapon work_of_art/works_of_art=artwork celestial_body valuable
person: child/children=kid/kids kitchen_worker farm_worker medic educator learner musician athlete=sportsman builder
person: sailor=seaman
person: officer criminal=crook office_worker driver=motorist artist performer=entertainer
person: scientist=researcher trader=merchant outdoorsman explorer
child: boy=lad girl=lass toddler teenager=adolescent infant=baby
kitchen_worker: chef=cook baker waiter butcher confectioner
farm_worker: shepherd dairymaid ploughman beekeeper farmhand
medic: doctor=physician nurse surgeon dentist paramedic
educator: teacher=schoolteacher professor=lecturer tutor librarian
learner: pupil student=undergraduate apprentice=trainee
musician: pianist drummer=percussionist violinist=fiddler guitarist singer=vocalist trumpeter
athlete: goalkeeper=goalie boxer=prizefighter swimmer runner=sprinter cyclist=bicyclist gymnast
builder: carpenter=joiner plumber electrician bricklayer=mason roofer welder
sailor: captain=skipper fisherman=angler diver deckhand helmsman
officer: policeman=constable detective=investigator sheriff guard=watchman
criminal: thief/thieves=burglar robber=bandit smuggler forger=counterfeiter pickpocket
office_worker: secretary=typist manager=boss accountant=bookkeeper receptionist programmer=coder
driver: cabbie=taxi_driver bus_driver trucker=lorry_driver chauffeur biker=motorcyclist
artist: painter sculptor photographer potter=ceramist engraver
performer: actor=thespian dancer clown=jester magician=conjurer puppeteer juggler
scientist: chemist astronomer=stargazer physicist botanist geologist
trader: grocer florist jeweller=goldsmith fishmonger bookseller
outdoorsman: hunter=huntsman forester=woodsman ranger hiker=trekker camper
explorer: astronaut=cosmonaut climber=mountaineer caver archaeologist
animal: canine feline bird fish/fish rodent insect=bug reptile farm_animal hoofed_animal sea_mammal shellfish/shellfish
canine: dog=hound wolf/wolves fox jackal
feline: cat lion tiger leopard=panther
bird: songbird bird_of_prey/birds_of_prey=raptor seabird fowl/fowl=farm_bird/farm_birds
songbird: sparrow robin finch blackbird
bird_of_prey: eagle hawk owl falcon
seabird: gull=seagull pelican puffin penguin
fowl: hen=chicken duck goose/geese turkey
fish: herring trout/trout sardine eel mackerel
rodent: mouse/mice rat squirrel hamster
insect: bee ant butterfly beetle wasp=hornet
reptile: snake=serpent lizard crocodile tortoise
farm_animal: cow pig=hog sheep/sheep goat donkey pony
hoofed_animal: deer/deer elk/elk bison/bison antelope
sea_mammal: whale dolphin seal walrus
shellfish: crab lobster oyster prawn=shrimp
food: fruit vegetable=veg/veg pastry meat_dish cooked_dish
fruit: apple pear plum cherry peach lemon
vegetable: carrot onion potato/potatoes=spud cabbage turnip pumpkin
pastry: cake=gateau/gateaux pie=tart biscuit=cookie muffin bun
meat_dish: sausage=banger steak meatball burger=hamburger
cooked_dish: soup=broth omelette stew=casserole pancake=crepe dumpling
plant: tree flower shrub=bush
tree: oak pine birch willow maple
flower: rose tulip daisy lily orchid
shrub: hedge lavender/lavenders holly juniper
utensil: hand_tool kitchen_utensil garden_tool
hand_tool: hammer=mallet saw screwdriver wrench=spanner chisel
kitchen_utensil: knife/knives ladle whisk spatula
garden_tool: rake spade=shovel hoe wheelbarrow
vehicle: road_vehicle boat=vessel spacecraft/spacecraft
road_vehicle: car=automobile truck=lorry bus=coach van taxi=cab tractor
boat: canoe=kayak ferry yacht=sailboat trawler=fishing_boat submarine
spacecraft: rocket satellite shuttle probe
piece_of_furniture: chair=stool table bed cupboard=cabinet sofa=couch desk bookcase=bookshelf/bookshelves
garment: coat=overcoat shirt=blouse skirt dress=gown sweater=pullover scarf/scarves=shawl hat shoe
hat: cap bonnet beret bowler
shoe: boot sandal slipper sneaker
piece_of_jewellery: necklace ring bracelet=bangle brooch earring
musical_instrument: string_instrument wind_instrument keyboard_instrument
string_instrument: violin=fiddle cello guitar harp banjo
wind_instrument: trumpet=bugle flute clarinet trombone
keyboard_instrument: piano organ accordion harpsichord
piece_of_music: song symphony hymn lullaby waltz
text: document book article=report poem=verse story=tale essay
document: letter contract=agreement invoice=bill memo=memorandum certificate
book: novel dictionary atlas textbook=schoolbook diary=journal
electronic_device: computer=laptop phone=telephone printer camera radio
toy: doll kite puzzle teddy_bear marble
container: box=carton basket sack=bag barrel=cask bottle=flask bucket=pail
structure: wall roof fence bridge tower chimney staircase=stairway
building_material: brick plank=board tile beam=girder pipe cable=wire
ball: football=soccer_ball basketball baseball tennis_ball
weapon: gun=pistol sword dagger rifle
work_of_art: painting=picture statue=sculpture portrait mosaic vase=urn
celestial_body: star planet comet asteroid galaxy
valuable: wallet=purse banknote diamond gold_coin passport
"""

ATTRIBUTES = """
age of person: young=youthful elderly=aged
height of person: tall short
mood of person: happy=cheerful=joyful sad=unhappy=sorrowful
energy of person animal: tired=weary=exhausted lively=energetic
wealth of person: rich=wealthy=affluent poor=penniless
temper of person: calm=serene angry=furious
courage of person: brave=courageous=fearless timid=fearful
fame of person: famous=renowned=celebrated unknown=obscure
manners of person: polite=courteous rude=impolite
tameness of animal: tame=docile fierce=ferocious
hunger of person animal: hungry=starving sated=well-fed
coat of animal: spotted striped brown grey
size of animal food utensil vehicle piece_of_furniture container toy structure plant: big=large small=little=tiny
weight of utensil piece_of_furniture container building_material weapon: heavy=hefty light=lightweight
newness of vehicle piece_of_furniture garment musical_instrument electronic_device structure: old=ancient new=modern
cleanness of utensil vehicle garment container toy: clean=spotless dirty=filthy=grubby
wetness of garment building_material ball shoe: wet=soaked=soggy dry
price of garment piece_of_jewellery electronic_device work_of_art: expensive=costly=pricey cheap=inexpensive
colour of vehicle garment ball toy flower piece_of_furniture container: red=scarlet blue green yellow black white
condition of utensil vehicle electronic_device weapon: broken=damaged intact=undamaged
fullness of container: full=filled empty=vacant
stuff of utensil piece_of_furniture toy: wooden=timber metal=steel plastic
freshness of food: fresh stale=spoiled
warmth of food: hot=steaming cold=chilled=icy
taste of food: sweet=sugary sour salty=briny
length of text piece_of_music: long=lengthy brief=concise
difficulty of text piece_of_music: difficult=hard=tricky easy=simple
importance of text: important=crucial trivial=insignificant
gaiety of piece_of_music: merry=jolly mournful=gloomy
bloom of plant: blooming=flowering withered=wilted
brightness of celestial_body: bright=brilliant dim=faint
distance of celestial_body: distant=faraway nearby=neighbouring
beauty of work_of_art piece_of_jewellery flower: beautiful=lovely ugly=hideous
truth of work_of_art valuable piece_of_jewellery: genuine=authentic fake=counterfeit
"""

PLACES = """
anywhere: in_the_house=at_home on_the_farm at_the_hospital=at_the_clinic at_the_school=at_the_academy
anywhere: at_the_harbour=at_the_port
anywhere: in_the_forest=in_the_woods at_the_stadium=at_the_arena in_the_office_block=at_the_headquarters
anywhere: on_the_building_site=on_the_construction_site in_the_shopping_centre=in_the_mall
anywhere: in_the_concert_hall=in_the_music_hall
anywhere: at_the_courthouse at_the_service_station=at_the_petrol_station at_the_restaurant=at_the_diner
anywhere: at_the_theatre=at_the_playhouse at_the_research_centre=at_the_institute
in_the_house: in_the_kitchen in_the_bedroom in_the_bathroom=in_the_washroom in_the_attic=in_the_loft
in_the_house: in_the_cellar=in_the_basement
on_the_farm: in_the_barn in_the_field=in_the_meadow in_the_orchard in_the_henhouse=in_the_chicken_coop in_the_farmyard
at_the_hospital: in_the_ward in_the_operating_room in_the_waiting_room in_the_pharmacy in_the_emergency_room
at_the_school: in_the_classroom=in_the_schoolroom in_the_library in_the_playground=in_the_schoolyard
at_the_school: in_the_canteen=in_the_cafeteria
at_the_harbour: on_the_pier=on_the_jetty on_the_dock=on_the_quay in_the_boathouse at_the_fish_market in_the_lighthouse
in_the_forest: in_the_clearing=in_the_glade in_the_cave=in_the_cavern on_the_riverbank by_the_waterfall at_the_campsite
at_the_stadium: on_the_pitch in_the_locker_room=in_the_changing_room in_the_grandstand on_the_running_track
at_the_stadium: in_the_swimming_pool
in_the_office_block: in_the_meeting_room=in_the_conference_room in_the_archive in_the_mailroom
in_the_office_block: in_the_elevator=in_the_lift
on_the_building_site: on_the_scaffold=on_the_scaffolding on_the_rooftop in_the_trench in_the_workshop
in_the_shopping_centre: in_the_bookshop=in_the_bookstore in_the_bakery in_the_supermarket in_the_shoe_shop
in_the_shopping_centre: in_the_jewellery_shop
in_the_concert_hall: on_the_balcony in_the_orchestra_pit in_the_rehearsal_room in_the_recording_studio
at_the_courthouse: in_the_courtroom in_the_cell in_the_jury_room in_the_corridor=in_the_hallway
at_the_service_station: in_the_car_park=in_the_parking_lot in_the_car_wash in_the_garage=in_the_repair_shop
at_the_service_station: by_the_fuel_pump
at_the_restaurant: in_the_dining_room on_the_terrace=on_the_patio at_the_counter in_the_pantry=in_the_larder
at_the_theatre: on_the_stage in_the_dressing_room in_the_foyer=in_the_lobby in_the_art_studio=in_the_atelier
at_the_research_centre: in_the_laboratory=in_the_lab in_the_greenhouse=in_the_glasshouse in_the_observatory
at_the_research_centre: on_the_launch_pad
"""

TIMES = """
day: in_the_morning in_the_afternoon in_the_evening at_night
in_the_morning: at_dawn=at_sunrise=at_daybreak at_breakfast
in_the_afternoon: at_lunchtime=at_lunch at_teatime
in_the_evening: at_dusk=at_sunset=at_nightfall at_dinner=at_supper
at_night: at_midnight in_the_small_hours
week: at_the_weekend=during_the_weekend on_a_weekday=during_the_week
at_the_weekend: on_Saturday on_Sunday
on_a_weekday: on_Monday on_Tuesday on_Wednesday on_Thursday on_Friday
season: in_spring=in_springtime in_summer=during_the_summer in_autumn=in_the_fall in_winter=during_the_winter
in_spring: in_March in_April in_May
in_summer: in_June in_July in_August
in_autumn: in_September in_October in_November
in_winter: in_December in_January in_February
weather: in_bad_weather=in_nasty_weather in_good_weather=in_fine_weather
in_bad_weather: in_the_rain during_a_storm=in_a_tempest in_the_fog=in_the_mist in_the_snow
in_good_weather: in_the_sunshine=in_the_sun under_a_clear_sky=under_a_cloudless_sky
"""

MANNERS = """
speed: quickly=rapidly=swiftly slowly=unhurriedly
noise: quietly=silently=noiselessly noisily=loudly
care: carefully=cautiously carelessly=recklessly
mood: cheerfully=happily=gladly sadly=unhappily=gloomily
skill: skilfully=expertly=deftly clumsily=awkwardly
secrecy: secretly=covertly openly=publicly
will: eagerly=willingly=keenly reluctantly=unwillingly
force: gently=softly=tenderly roughly=forcefully
nerves: calmly=serenely nervously=anxiously
patience: patiently impatiently
"""

NUMBERS = """
number: one plural
plural: two three four twelve
"""

EVENTS = """
cooking | prepare=ready | kitchen_worker | food | at_the_restaurant in_the_kitchen
chop+=dice peel=skin+ fry=sear boil=simmer grate=shred+ toast
cooking | consume=eat/ate/eaten | child animal athlete | food | in_the_kitchen at_the_restaurant at_the_school
nibble swallow=gulp polish_off=finish chew=munch
farming | tend=look_after | farm_worker | farm_animal fowl | on_the_farm
feed/fed/fed=nourish milk shear groom=brush herd tether
farming | cultivate=grow/grew/grown | farm_worker outdoorsman | plant vegetable fruit | on_the_farm in_the_forest
plant=sow/sowed/sown water=irrigate harvest=reap prune=trim+ fertilise=manure
medicine | treat=attend_to | medic | child athlete builder performer | at_the_hospital
examine=check bandage vaccinate=inoculate sedate=anaesthetise resuscitate=revive
teaching | address=speak_to/spoke_to/spoken_to | educator | learner child | at_the_school
praise=commend scold=reprimand quiz+=question welcome=greet warn=caution
teaching | study=pore_over | learner educator scientist | text | at_the_school in_the_house
memorise=learn_by_heart annotate=mark translate=interpret summarise=condense copy=transcribe
music | perform=play | musician performer | piece_of_music | in_the_concert_hall at_the_theatre
sing/sang/sung=chant hum+ whistle conduct=direct record=tape
sport | send/sent/sent=propel+ | athlete child | ball | at_the_stadium in_the_playground
kick=boot throw/threw/thrown=toss=hurl bounce=dribble head=butt roll
sport | oppose=compete_with | athlete | athlete | at_the_stadium
tackle outrun+/outran/outrun=outpace defeat=beat/beat/beaten outwit+=outsmart
building | renovate=refurbish | builder | structure | on_the_building_site
paint=decorate repair=mend=fix tile=re-tile plaster insulate=weatherproof
building | move=shift | builder farm_worker | building_material piece_of_furniture container | on_the_building_site
drag+=haul lift=hoist push=shove carry=bear/bore/borne
fishing | catch/caught/caught=capture | sailor | fish shellfish | at_the_harbour
net+=scoop_up hook spear/speared/speared=harpoon snare=entrap+
fishing | navigate=manoeuvre | sailor | boat | at_the_harbour
row=paddle tow=pull moor=anchor sail beach
crime | take/took/taken=seize | criminal | valuable piece_of_jewellery work_of_art weapon | in_the_house
steal/stole/stolen=pilfer snatch=grab+ smuggle=traffic/trafficked/trafficked loot=plunder
crime | pursue=go_after/went_after/gone_after | officer | criminal | in_the_forest in_the_shopping_centre at_the_harbour
chase=run_after+/ran_after/run_after shadow=tail track=trail hunt=stalk
nature | attack=assault | canine feline reptile bird_of_prey | rodent songbird fowl hoofed_animal | in_the_forest
bite/bit/bitten=nip+ scratch=claw strangle=throttle trample=stamp_on
nature | observe=watch | outdoorsman explorer child | animal plant | in_the_forest
photograph=snap+ sketch=draw/drew/drawn film=video/videoed/videoed count=tally
office | process=deal_with/dealt_with/dealt_with | office_worker | document | in_the_office_block
sign=autograph file=archive staple=pin+ print=print_out laminate
transport | operate=use | driver trader | road_vehicle | at_the_service_station in_the_shopping_centre
park reverse=back_up crash=wreck start=switch_on race=speed/sped/sped
trade | trade=deal_in/dealt_in/dealt_in | trader | garment food musical_instrument toy | in_the_shopping_centre
sell/sold/sold=vend buy/bought/bought=purchase barter=swap+ auction=auction_off
home | clean=cleanse | child kitchen_worker learner | piece_of_furniture utensil electronic_device | in_the_house
dust scrub+=scour wipe=sponge vacuum=hoover
arts | craft=work_on | artist | work_of_art | at_the_theatre
carve=chisel+ engrave=etch frame=mount varnish=lacquer
arts | entertain=amuse | performer | child learner animal | at_the_theatre
astonish=amaze hypnotise=mesmerise mimic/mimicked/mimicked=imitate tease=mock
science | investigate=research | scientist | celestial_body insect shrub | at_the_research_centre
measure=gauge classify=categorise scan+=screen simulate=model+
science | control+=steer | explorer scientist | spacecraft | at_the_research_centre
launch=fire_off land=set_down+/set_down/set_down dock=couple aim=point
everyday | rest=relax | person animal | - | in_the_house in_the_forest in_the_waiting_room at_the_stadium
sleep/slept/slept=slumber sunbathe lounge=laze kneel/knelt/knelt
everyday | go_along/went_along/gone_along=get_about+/got_about/got_about | person animal | - | in_the_forest on_the_farm
sprint=dash walk=stroll crawl=creep/crept/crept leap=jump=hop+
everyday | make_noise/made_noise/made_noise=make_a_sound/made_a_sound/made_a_sound | person | - | in_the_house
shout=yell whisper=murmur laugh=chuckle weep/wept/wept=sob+ sneeze
"""

HELD_OUT_DOMAINS = ("arts", "science")
