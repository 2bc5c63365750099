!> Packed data sets, and what a loss over one is made of.
!>
!> The pack is a sequence of fixed blocks of whole structures.  In a block the atoms of each species
!> form one panel; a structure's atoms are one contiguous run in it.
module tf_pack
   use, intrinsic :: iso_c_binding, only : c_f_pointer, c_int32_t, c_loc
   use tf_kinds, only : wp, sp, i8
   use tf_error, only : error_type, raise, error_size, error_value
   use tf_network, only : network_type
   implicit none
   private
   public :: pack_type, check_pack, loss_type, check_groups, network_scratch, view_features, copy_features, &
      as_panels

   !> x => the n values of descriptors behind `first`, in the precision of the pack
   interface view_features
      module procedure view_features_double, view_features_single
   end interface view_features

   !> Scratch as numbers of the precision of panels
   interface as_panels
      module procedure as_panels_double, as_panels_single
   end interface as_panels

   !> How a packed data set is laid out; the arrays belong to the caller
   type :: pack_type
      integer :: n_species = 0, n_blocks = 0, n_structures = 0
      !> Number of the first block, from 0, where other processes hold those before
      integer(i8) :: first_leaf = 0_i8
      !> All panels, one after the other, in one of two precisions, in which they are evaluated too; the other is empty.
      !> Loss and gradient are sums in double precision in any case
      real(wp), pointer, contiguous :: features(:) => null()
      real(sp), pointer, contiguous :: features_single(:) => null()
      !> (n_species, n_blocks) panel starts behind this many values
      integer(i8), pointer, contiguous :: panel_offset(:, :) => null()
      !> (n_species, n_blocks) atoms per panel, padded to a multiple of `lanes`
      integer, pointer, contiguous :: panel_width(:, :) => null()
      !> (n_blocks + 1) structures of block b are first(b) + 1 … first(b + 1)
      integer, pointer, contiguous :: block_first(:) => null()
      !> (n_species, n_structures) atoms of a structure stand behind this many atoms of its panel
      integer, pointer, contiguous :: atom_offset(:, :) => null()
      !> (n_species, n_structures) how many they are
      integer, pointer, contiguous :: atom_count(:, :) => null()
   end type pack_type

   !> What a loss of energies is made of: L = ½ Σ_s weight_s r_s², r_s = factor_s (E_ref,s − E_s), E_s the sum of the
   !> network outputs of structure s (ænet: factor = 1/number of atoms; eq. 3 of Cooper et al. 2020: factor = 1).
   !> Structures of one group count with r_s - mean of r over the group instead: what all copies of a parent
   !> have in common, above all the truncation bias of their Taylor energies, drops out.
   type :: loss_type
      type(pack_type) :: pack
      !> (n_species), and weights of all together
      type(network_type), allocatable :: networks(:)
      integer :: n_weights = 0
      !> (n_structures) reference energies, in the units of the network outputs; factors and weights
      real(wp), pointer, contiguous :: energy_ref(:) => null(), factor(:) => null(), structure_weight(:) => null()
      !> (n_structures) 0, or the number of the group; the members of a group are consecutive and in one block
      integer, pointer, contiguous :: group(:) => null()
      !> Ends long calls, see tf_stop; may be null
      integer(c_int32_t), pointer :: token => null()
   end type loss_type

contains

   !> Refuse a pack whose index arrays point outside its arrays
   subroutine check_pack(pack, networks, error)
      type(pack_type), intent(in) :: pack
      type(network_type), intent(in) :: networks(:)
      type(error_type), allocatable, intent(inout) :: error
      integer :: b, t, low, high
      integer(i8) :: n_features

      n_features = size(pack%features, kind=i8) + size(pack%features_single, kind=i8)
      if (size(pack%features) > 0 .and. size(pack%features_single) > 0) then
        call raise(error, error_size, "the packed data set has its features in two precisions")
      end if
      if (size(networks) /= pack%n_species) call raise(error, error_size, "one network per species is needed")
      if (size(pack%block_first) /= pack%n_blocks + 1 .or. size(pack%panel_width, 2) /= pack%n_blocks .or. &
         size(pack%panel_width, 1) /= pack%n_species .or. size(pack%atom_offset, 1) /= pack%n_species .or. &
         any(shape(pack%atom_count) /= shape(pack%atom_offset))) then
        call raise(error, error_size, "index arrays of the packed data set do not match")
      end if
      if (allocated(error)) return
      associate (first => pack%block_first, n => pack%n_blocks)
         if (first(1) /= 0 .or. first(n + 1) /= pack%n_structures .or. any(first(2:) < first(:n))) then
           call raise(error, error_size, "blocks of the packed data set do not cover its structures in order")
         end if
      end associate
      if (allocated(error)) return
      do b = 1, pack%n_blocks
         low = pack%block_first(b) + 1
         high = pack%block_first(b + 1)
         do t = 1, pack%n_species
            ! Differences, because sums of wild numbers overflow
            associate (start => pack%panel_offset(t, b), width => pack%panel_width(t, b), &
               offset => pack%atom_offset(t, low:high), count => pack%atom_count(t, low:high))
               if (start < 0 .or. width < 0 .or. &
                  start > n_features - int(max(width, 0), i8)*networks(t)%n_nodes(1)) then
                 call raise(error, error_size, "a panel of the packed data set reaches beyond its features")
               end if
               if (any(offset < 0) .or. any(count < 0) .or. any(offset > width - max(count, 0))) then
                 call raise(error, error_size, "a structure of the packed data set reaches beyond its panel")
               end if
            end associate
         end do
         if (allocated(error)) return
      end do
   end subroutine check_pack

   !> Numbers of scratch for the networks of any block, in their precision: sets of columns and of features, and a seed
   !> for each atom
   pure integer(i8) function network_scratch(panel_width, networks, n_column_sets, n_feature_sets) result(n)
      !> (n_species, n_blocks) of a pack
      integer, intent(in) :: panel_width(:, :)
      type(network_type), intent(in) :: networks(:)
      integer, intent(in) :: n_column_sets, n_feature_sets
      integer :: t, widest

      n = 0
      if (size(panel_width, 2) == 0) return
      do t = 1, size(networks)
         widest = maxval(panel_width(t, :))
         n = n + int(widest, i8)*(n_column_sets*networks(t)%n_columns + n_feature_sets*networks(t)%n_nodes(1))
      end do
      n = n + maxval(panel_width)
   end function network_scratch

   !> See `view_features`
   subroutine view_features_double(pack, first, n, x)
      type(pack_type), intent(in) :: pack
      integer(i8), intent(in) :: first
      integer, intent(in) :: n
      real(wp), pointer, contiguous, intent(out) :: x(:)

      x => pack%features(first + 1:first + n)
   end subroutine view_features_double

   !> See `view_features`
   subroutine view_features_single(pack, first, n, x)
      type(pack_type), intent(in) :: pack
      integer(i8), intent(in) :: first
      integer, intent(in) :: n
      real(sp), pointer, contiguous, intent(out) :: x(:)

      x => pack%features_single(first + 1:first + n)
   end subroutine view_features_single

   !> The n values of descriptors behind `first`, in double precision
   pure subroutine copy_features(pack, first, n, x)
      type(pack_type), intent(in) :: pack
      integer(i8), intent(in) :: first
      integer, intent(in) :: n
      real(wp), intent(out) :: x(n)

      if (size(pack%features_single) == 0) then
         x = pack%features(first + 1:first + n)
      else
         x = real(pack%features_single(first + 1:first + n), wp)
      end if
   end subroutine copy_features

   !> See `as_panels`
   subroutine as_panels_double(scratch, panels)
      real(wp), intent(in), contiguous, target :: scratch(:)
      real(wp), pointer, contiguous, intent(out) :: panels(:)

      panels => scratch
   end subroutine as_panels_double

   !> See `as_panels`
   subroutine as_panels_single(scratch, panels)
      real(wp), intent(in), contiguous, target :: scratch(:)
      !> Twice as many
      real(sp), pointer, contiguous, intent(out) :: panels(:)

      call c_f_pointer(c_loc(scratch), panels, [2*size(scratch, kind=i8)])
   end subroutine as_panels_single

   !> Refuse groups that are torn apart by block borders or by other structures
   subroutine check_groups(pack, group, error)
      type(pack_type), intent(in) :: pack
      !> (n_structures) see `loss_type`
      integer, intent(in) :: group(:)
      type(error_type), allocatable, intent(inout) :: error
      integer :: b, s, last

      last = 0
      do b = 1, pack%n_blocks
         do s = pack%block_first(b) + 1, pack%block_first(b + 1)
            if (group(s) == 0) cycle
            if (group(s) < last .or. (group(s) == last .and. (s == pack%block_first(b) + 1))) then
               call raise(error, error_value, "a group of copies is not in one block")
               return
            end if
            if (group(s) == last) then
               if (group(s - 1) /= last) then
                  call raise(error, error_value, "the copies of a group are not consecutive")
                  return
               end if
            end if
            last = group(s)
         end do
      end do
   end subroutine check_groups

end module tf_pack
