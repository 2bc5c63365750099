/* pair_style taylorfit: potentials of taylorfit and ænet in LAMMPS.
 *
 * One file, compiled against the headers of one LAMMPS (`taylorfit lammps --build`) and opened by plugin.c in a LAMMPS
 * that fits.  It links neither MPI, which the running LAMMPS brings, nor the engine, which is opened when the style is
 * created: so loading it cannot fail for want of either.
 *
 *   pair_style taylorfit [deviation every N file F] [extrapolation warn|stop|off] [limit X]
 *   pair_coeff * * FOLDER|FILES... SPECIES-OF-TYPE-1 SPECIES-OF-TYPE-2 ...        (NULL: a type of other styles)
 */

#define MPICH_SKIP_MPICXX 1    // the C interface of MPI alone
#define OMPI_SKIP_MPICXX 1
#include "pair.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "lammps.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"
#define TAYLORFIT_OLD_LAMMPS (TAYLORFIT_LAMMPS_VERSION < 20220501)    // names that changed in 2022
#if TAYLORFIT_OLD_LAMMPS
#if __has_include("neigh_request.h")
#include "neigh_request.h"
#else    // Debian's headers leave it out; its first fields in 2020 and 2021
namespace LAMMPS_NS {
class NeighRequest : protected Pointers {
 public:
  int index;
  void *requestor;
  int requestor_instance, id, pair, fix, compute, command, neigh, half, full;
};
}    // namespace LAMMPS_NS
#endif
#endif

#include "taylorfit.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#ifndef TAYLORFIT_LIBRARY /* where the engine is, if not beside this plugin */
#define TAYLORFIT_LIBRARY "libtaylorfit.so"
#endif

namespace {

/* Descriptor components may be outside the training data by this many standard deviations; as in the ASE calculator. */
constexpr double TOLERANCE = 0.5;

/* Steps between two looks at how much the members of a committee differ, which needs the forces of each. */
constexpr int LOOK_EVERY = 10;

/* Functions of libtaylorfit that are called, by the names in taylorfit.h without tf_. */
#define FUNCTIONS(F) \
  F(potential_new) F(potential_load) F(potential_free) F(potential_members) F(potential_n_species) \
  F(potential_species) F(potential_cutoff) F(evaluate) F(deviation)

struct Engine {
#define MEMBER(name) decltype(&tf_##name) name;
  FUNCTIONS(MEMBER)
};

/* Open the engine; an empty string, or what is wrong. */
std::string open_engine(Engine &engine)
{
  Dl_info plugin{};
  dladdr(reinterpret_cast<void *>(&open_engine), &plugin);
  const auto folder = std::filesystem::absolute(plugin.dli_fname ? plugin.dli_fname : "").parent_path().parent_path();
  std::vector<std::string> places = {(folder / "_libs" / "libtaylorfit.so").string(), TAYLORFIT_LIBRARY};
  if (const char *named = getenv("TAYLORFIT_LIBRARY")) places = {named};
  void *library = nullptr;
  std::string reason;
  for (const auto &place : places) {
    library = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library) break;
    const char *text = dlerror();
    reason += std::string(reason.empty() ? "" : "; ") + (text ? text : place.c_str());
  }
  if (!library)
    return "the engine libtaylorfit.so cannot be opened (" + reason + "); the environment variable TAYLORFIT_LIBRARY may name it";
  bool complete = true;
#define FIND(name) complete = (engine.name = reinterpret_cast<decltype(&tf_##name)>(dlsym(library, "tf_" #name))) && complete;
  FUNCTIONS(FIND)
  return complete ? "" : "the engine libtaylorfit.so is of another version: rebuild with `taylorfit lammps --build`";
}

/* Files of a folder that end with .nn, sorted. */
std::vector<std::string> potentials_in(const std::filesystem::path &folder)
{
  std::vector<std::string> files;
  for (const auto &entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == ".nn" && !entry.is_directory()) files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  return files;
}

/* What the committee in a folder remembers of its test structures, eV/Angstrom; 0: nothing. */
double remembered_limit(const std::string &folder)
{
  static const std::string key = "force deviation, eV/A:";
  std::ifstream stream(std::filesystem::path(folder) / "data.limits");
  for (std::string line; std::getline(stream, line);)
    if (line.compare(0, key.size(), key) == 0) return std::max(0.0, strtod(line.c_str() + key.size(), nullptr));
  return 0.0;
}

/* Potential files by member: of a folder, of its subfolders (a committee), or as they are given. */
std::vector<std::vector<std::string>> potential_files(const std::vector<std::string> &given)
{
  if (given.size() != 1 || !std::filesystem::is_directory(given[0])) return {given};
  if (const auto own = potentials_in(given[0]); !own.empty()) return {own};
  std::map<std::string, std::vector<std::string>> members;
  for (const auto &entry : std::filesystem::directory_iterator(given[0]))
    if (entry.is_directory()) members[entry.path().string()] = potentials_in(entry.path());
  std::vector<std::vector<std::string>> found;
  for (const auto &[folder, files] : members)
    if (!files.empty()) found.push_back(files);
  return found;
}

/* A number, or none. */
double number(const char *text)
{
  char *end = nullptr;
  const double value = strtod(text, &end);
  return *text && !*end ? value : NAN;
}

}    // namespace

namespace LAMMPS_NS {

class PairTaylorfit : public Pair {
 public:
  explicit PairTaylorfit(LAMMPS *);
  ~PairTaylorfit() override;
  void settings(int, char **) override;
  void coeff(int, char **) override;
  void init_style() override;
  double init_one(int, int) override { return cutoff; }
  void setup() override;
  void compute(int, int) override;
  void *extract(const char *, int &) override;
  void *extract_peratom(const char *, int &);    // virtual since 2022
  int pack_reverse_comm(int, int, double *) override;
  void unpack_reverse_comm(int, int *, double *) override;
  double memory_usage() override
  {
    const size_t numbers = excess.size() + deviation.size() + force_of_member.size();
    return Pair::memory_usage() + numbers * sizeof(double) + component.size() * sizeof(int);
  }

 private:
  enum Extrapolation { OFF, WARN, STOP };

  Engine engine;
  tf_potential *potential = nullptr;
  double cutoff = 0.0;
  int n_members = 0;
  std::vector<int> species_of_type;

  int every = 0;    // steps between rows of the file of deviations
  std::string file_name;
  FILE *file = nullptr;
  bigint written = -1;    // step of the last row
  Extrapolation extrapolation = WARN;
  bool warned = false;
  double limit = 0.0, limit_given = 0.0;    // eV/Angstrom that members may differ by in a force; 0: descriptors are compared

  int excess_wanted = 0, deviation_wanted = 0;    // set by fix pair on the steps it looks
  std::vector<double> excess, deviation, energy_of_member, force_of_member;
  std::vector<int> component;

  // Component k of the forces of all members on an atom
  double &member_force(int i, int k) { return force_of_member[3 * (deviation.size() * (k / 3) + i) + k % 3]; }
  // End with an error that all ranks have seen
  void fail(const std::string &text) { error->all(FLERR, "pair_style taylorfit" + text); }
  void tell(const std::string &, bool);
  void deviations();
  void look_outside();
  void show_on_first_rank();
};

PairTaylorfit::PairTaylorfit(LAMMPS *lmp) : Pair(lmp)
{
  const std::string wrong = open_engine(engine);
  if (!wrong.empty()) fail(": " + wrong);
  restartinfo = 0;
  one_coeff = 1;
  single_enable = 0;
  manybody_flag = 1;
  no_virial_fdotr_compute = 1;
  centroidstressflag = CENTROID_AVAIL;
  nextra = 4;
  pvector = new double[nextra]();
}

PairTaylorfit::~PairTaylorfit()
{
  if (copymode) return;
  engine.potential_free(potential);
  if (file) fclose(file);
  delete[] pvector;
  if (allocated) {
    memory->destroy(setflag);
    memory->destroy(cutsq);
  }
}

/* pair_style taylorfit [deviation every N file F] [extrapolation warn|stop|off] [limit X] */
void PairTaylorfit::settings(int narg, char **arg)
{
  every = 0;
  file_name.clear();
  extrapolation = WARN;
  limit_given = 0.0;
  const std::map<std::string, Extrapolation> words = {{"off", OFF}, {"warn", WARN}, {"stop", STOP}};
  for (int k = 0; k < narg; k += 2) {
    const std::string word = arg[k];
    if (word == "deviation" && k + 4 < narg && !strcmp(arg[k + 1], "every") && !strcmp(arg[k + 3], "file")) {
      const double steps = number(arg[k + 2]);
      if (!(steps >= 1.0 && steps <= MAXSMALLINT) || steps != std::floor(steps))
        fail(std::string(": deviation every ") + arg[k + 2] + ", expected a number of steps > 0");
      every = static_cast<int>(steps);
      file_name = arg[k + 4];
      k += 3;
    } else if (word == "extrapolation" && k + 1 < narg && words.count(arg[k + 1])) {
      extrapolation = words.at(arg[k + 1]);
    } else if (word == "limit" && k + 1 < narg) {
      limit_given = number(arg[k + 1]);
      if (!(limit_given > 0.0) || !std::isfinite(limit_given))
        fail(std::string(": limit ") + arg[k + 1] + ", expected eV/Angstrom > 0");
    } else {
      fail(": " + word + " is not understood, expected: pair_style taylorfit [deviation every N file F] "
           "[extrapolation warn|stop|off] [limit X]");
    }
  }
}

/* pair_coeff * * FOLDER|FILES... SPECIES... */
void PairTaylorfit::coeff(int narg, char **arg)
{
  const int n_types = atom->ntypes;
  const std::string usage = "pair_coeff * * FOLDER or FILES, then a species (or NULL) for each of the " +
      std::to_string(n_types) + " atom types";
  if (narg < 3 + n_types || strcmp(arg[0], "*") || strcmp(arg[1], "*")) fail(" expects " + usage);
  if (!allocated) {
    memory->create(setflag, n_types + 1, n_types + 1, "pair:setflag");
    memory->create(cutsq, n_types + 1, n_types + 1, "pair:cutsq");
    std::fill_n(&setflag[0][0], (n_types + 1) * (n_types + 1), 0);
    allocated = 1;
  }

  const int first = narg - n_types;
  std::vector<std::vector<std::string>> members;
  try {
    members = potential_files(std::vector<std::string>(arg + 2, arg + first));
  } catch (const std::filesystem::filesystem_error &problem) {
    fail(std::string(": ") + problem.what());
  }
  if (members.empty() || members[0].empty())
    fail(std::string(": no potentials *.nn in ") + arg[2] + " or its subfolders");
  std::vector<const char *> files;
  for (const auto &member : members) {
    if (member.size() != members[0].size())
      fail(": " + member[0] + ": a member with another number of potentials than the first");
    for (const auto &name : member) files.push_back(name.c_str());
  }

  engine.potential_free(potential);
  potential = engine.potential_new();
  if (!potential) error->one(FLERR, std::string("pair_style taylorfit: no build of the engine for this processor beside libtaylorfit.so"));
  tf_error problem;
  if (engine.potential_load(potential, static_cast<int>(members.size()), static_cast<int>(members[0].size()), files.data(), &problem))
    error->one(FLERR, std::string("pair_style taylorfit: ") + problem.message);
  cutoff = engine.potential_cutoff(potential);
  n_members = engine.potential_members(potential);

  species_of_type.assign(n_types + 1, -1);
  for (int type = 1; type <= n_types; type++) {
    const std::string symbol = arg[first + type - 1];
    std::string known;
    for (int k = 0; k < engine.potential_n_species(potential); k++) {
      if (symbol == engine.potential_species(potential, k)) species_of_type[type] = k;
      known += std::string(" ") + engine.potential_species(potential, k);
    }
    if (species_of_type[type] < 0 && symbol != "NULL")
      fail(": no potential for species " + symbol + " of atom type " + std::to_string(type) +
           "; there are potentials for" + known);
  }
  for (int i = 1; i <= n_types; i++)
    for (int j = i; j <= n_types; j++) setflag[i][j] = species_of_type[i] >= 0 && species_of_type[j] >= 0;
  if (std::count(species_of_type.begin(), species_of_type.end(), -1) > n_types) fail(" expects " + usage + "; all of them are NULL");
  limit = n_members < 2 ? 0.0 : limit_given > 0.0 ? limit_given : remembered_limit(arg[2]);
  if ((every || limit_given > 0.0) && n_members < 2)
    fail(": deviation and limit need a committee: a folder with potentials in subfolders 01, 02, ...");
}

void PairTaylorfit::init_style()
{
  if (strcmp(update->unit_style, "metal") != 0)
    fail(std::string(" needs units metal (eV, Angstrom), found units ") + update->unit_style);
  if (!force->newton_pair) fail(" needs newton on for pairs");
  // A bonded pair that special_bonds leaves out of the list is missing in the descriptors as well
  if (atom->molecular != 0 && !force->kspace)
    for (int k = 1; k <= 3; k++)
      if (force->special_lj[k] == 0.0 && force->special_coul[k] == 0.0)
        fail(" needs all neighbours, but special_bonds leaves bonded ones out: use special_bonds lj/coul 1 1 1");
#if TAYLORFIT_OLD_LAMMPS
  const int request = neighbor->request(this, instance_me);
  neighbor->requests[request]->half = 0;
  neighbor->requests[request]->full = 1;
#else
  neighbor->add_request(this, NeighConst::REQ_FULL);
#endif
  comm_reverse = 3 * n_members;
  if (every && !file && comm->me == 0) {
    file = fopen(file_name.c_str(), "a");
    if (!file) error->one(FLERR, "pair_style taylorfit: " + file_name + " cannot be written: " + strerror(errno));
    fprintf(file, "# step  force deviation (eV/Angstrom): largest, mean  energy deviation (eV/atom)  furthest outside training (sigma)\n");
  }
  warned = false;
}

/* Ghosts must reach as far as an atom sees. */
void PairTaylorfit::setup()
{
  if (comm->get_comm_cutoff() < cutoff)
    fail(": the communication cutoff " + std::to_string(comm->get_comm_cutoff()) + " is shorter than the cutoff " +
         std::to_string(cutoff) + " of the potential: use comm_modify cutoff");
}

void PairTaylorfit::compute(int eflag, int vflag)
{
  ev_init(eflag, vflag);
  const int n_atoms = atom->nlocal + atom->nghost;
  // What compute pair shows is wanted where energies are
  const bool looks = extrapolation != OFF && limit > 0.0 && update->ntimestep % LOOK_EVERY == 0;
  const bool due = n_members > 1 && ((every && update->ntimestep % every == 0) || deviation_wanted || eflag_global || looks);
  const bool outside = (extrapolation != OFF && limit == 0.0) || excess_wanted || due;

  const tf_atoms atoms = {n_atoms, list->inum, atom->ntypes, NEIGHMASK, n_atoms ? &atom->x[0][0] : nullptr, atom->type,
                          species_of_type.data(), list->ilist, list->numneigh, list->firstneigh};
  tf_results results{};
  results.force = n_atoms ? &atom->f[0][0] : nullptr;
  if (eflag_global) results.energy = &eng_vdwl;
  if (eflag_atom) results.atom_energy = eatom;
  if (vflag_global) results.virial = virial;
  if (vflag_atom && n_atoms) results.atom_virial = &vatom[0][0];
  if (cvflag_atom && n_atoms) results.centroid_virial = &cvatom[0][0];
  if (outside) {
    excess.assign(n_atoms, 0.0);
    component.assign(n_atoms, 0);
    results.excess = excess.data();
    results.component = component.data();
  }
  if (due) {
    energy_of_member.assign(n_members, 0.0);
    force_of_member.assign(static_cast<size_t>(3) * n_members * n_atoms, 0.0);
    results.member_energy = energy_of_member.data();
    results.member_force = force_of_member.data();
  }

  tf_error problem;
  if (engine.evaluate(potential, &atoms, &results, std::max(1, comm->nthreads), nullptr, &problem))
    error->one(FLERR, "pair_style taylorfit, step " + std::to_string(update->ntimestep) + ": " + problem.message);
  if (outside) look_outside();
  if (due) deviations();
  if (due || eflag_global) show_on_first_rank();
}

/* Warn once of, or stop at, a structure unlike the training data; `all`: all ranks come here together. */
void PairTaylorfit::tell(const std::string &what, bool all)
{
  const std::string text = "pair_style taylorfit, step " + std::to_string(update->ntimestep) + ": " + what;
  if (extrapolation == STOP) all ? error->all(FLERR, text) : error->one(FLERR, text);
  if (!all || comm->me == 0) error->warning(FLERR, text + " (told once; compute pair has the largest of every step)");
  warned = true;
}

/* Look for atoms whose surroundings the training data did not have. */
void PairTaylorfit::look_outside()
{
  double worst = -1.0;
  int where = -1;
  for (int ii = 0; ii < list->inum; ii++)
    if (excess[list->ilist[ii]] > worst) worst = excess[where = list->ilist[ii]];
  pvector[3] = worst;
  if (worst <= TOLERANCE || extrapolation == OFF || limit > 0.0 || (extrapolation == WARN && warned)) return;
  char text[256];
  snprintf(text, sizeof text, "atom %ld is outside the training data, descriptor component %d by %.2f sigma",
           static_cast<long>(atom->tag[where]), component[where] + 1, worst);
  tell(text, false);
}

/* Standard deviations over the committee, of forces that ghosts have given back; do members differ too much?  All ranks
 * come here together. */
void PairTaylorfit::deviations()
{
  deviation.resize(atom->nlocal + atom->nghost);    // what ghosts get, nobody looks at
#if TAYLORFIT_OLD_LAMMPS
  comm->reverse_comm_pair(this);
#else
  comm->reverse_comm(this);
#endif
  engine.deviation(n_members, static_cast<int>(deviation.size()), 3, force_of_member.data(), deviation.data());

  struct { double value; int atom; } worst{0.0, 0}, everywhere;
  // Energies of the members, then sum and number of deviations
  std::vector<double> sums = energy_of_member, all_sums(n_members + 2);
  sums.insert(sums.end(), {0.0, static_cast<double>(list->inum)});
  for (int ii = 0; ii < list->inum; ii++) {
    const int i = list->ilist[ii];
    if (deviation[i] > worst.value) worst = {deviation[i], static_cast<int>(atom->tag[i])};
    sums[n_members] += deviation[i];
  }
  MPI_Allreduce(&worst, &everywhere, 1, MPI_DOUBLE_INT, MPI_MAXLOC, world);
  MPI_Allreduce(sums.data(), all_sums.data(), n_members + 2, MPI_DOUBLE, MPI_SUM, world);
  const double n_centres = std::max(1.0, all_sums[n_members + 1]);
  pvector[0] = everywhere.value;
  pvector[1] = all_sums[n_members] / n_centres;
  engine.deviation(n_members, 1, 1, all_sums.data(), &pvector[2]);
  pvector[2] /= n_centres;

  if (extrapolation == OFF || limit == 0.0 || pvector[0] <= limit || (extrapolation == WARN && warned)) return;
  char text[256];
  snprintf(text, sizeof text, "unlike the training data, members differ by %.3g eV/Angstrom in the force on atom %d (limit %.3g)",
           everywhere.value, everywhere.atom, limit);
  tell(text, true);
}

/* compute pair adds the ranks up, so only the first keeps what is global; it also writes the row of the file. */
void PairTaylorfit::show_on_first_rank()
{
  double furthest = pvector[3];
  MPI_Allreduce(&furthest, &pvector[3], 1, MPI_DOUBLE, MPI_MAX, world);
  if (file && update->ntimestep % every == 0 && update->ntimestep != written) {
    fprintf(file, "%ld %.8g %.8g %.8g %.6g\n", static_cast<long>(update->ntimestep), pvector[0], pvector[1], pvector[2], pvector[3]);
    if (fflush(file)) error->one(FLERR, "pair_style taylorfit: " + file_name + " cannot be written: " + strerror(errno));
    written = update->ntimestep;
  }
  if (comm->me != 0) std::fill_n(pvector, nextra, 0.0);
}

/* fix pair asks for what it may set, and for the values themselves. */
void *PairTaylorfit::extract(const char *name, int &dim)
{
  dim = 0;
  if (!strcmp(name, "cutoff")) return &cutoff;
  if (!strcmp(name, "excess_flag")) return &excess_wanted;
  if (!strcmp(name, "deviation_flag")) return &deviation_wanted;
  return nullptr;
}

void *PairTaylorfit::extract_peratom(const char *name, int &n_columns)
{
  n_columns = 0;
  if (!strcmp(name, "excess")) return excess.data();
  if (!strcmp(name, "deviation") && n_members > 1) return deviation.data();
  return nullptr;
}

int PairTaylorfit::pack_reverse_comm(int n, int first, double *buffer)
{
  for (int i = first; i < first + n; i++)
    for (int k = 0; k < 3 * n_members; k++) *buffer++ = member_force(i, k);
  return 3 * n_members * n;
}

void PairTaylorfit::unpack_reverse_comm(int n, int *numbers, double *buffer)
{
  for (int l = 0; l < n; l++)
    for (int k = 0; k < 3 * n_members; k++) member_force(numbers[l], k) += *buffer++;
}

}    // namespace LAMMPS_NS

using namespace LAMMPS_NS;

static Pair *new_pair(LAMMPS *lmp) { return new PairTaylorfit(lmp); }

/* What plugin.c asks for. */
extern "C" {
void *taylorfit_new_pair(void *lmp) { return new_pair(static_cast<LAMMPS *>(lmp)); }
void taylorfit_add_pair(void *lmp) { (*static_cast<LAMMPS *>(lmp)->force->pair_map)["taylorfit"] = &new_pair; }
}
